//! Settings as fields of a form, and a form as changes of settings.

use crate::form::Fields;
use relay::admin::view::SettingView;
use relay::admin::{Change, settings};

/// Lines of a text box, at least and at most.
const ROWS: std::ops::RangeInclusive<usize> = 3..=14;

/// One setting in a form.
#[derive(Clone, Debug)]
pub struct Field {
    /// The setting as it is.
    pub view: SettingView,
    /// What stands in the field: what the file says, or what was typed.
    pub text: String,
    /// What is wrong with it.
    pub wrong: Vec<String>,
    /// Parts of its value that are settings of their own in the manual.
    pub parts: Vec<SettingView>,
}

/// Fields that belong together.
#[derive(Clone, Debug)]
pub struct Section {
    /// Its heading; empty: none.
    pub label: &'static str,
    /// Its fields.
    pub fields: Vec<Field>,
}

/// All fields of a form.
#[derive(Clone, Debug, Default)]
pub struct Sheet {
    /// In the order of the dialogs.
    pub sections: Vec<Section>,
    /// What is wrong and belongs to no field here.
    pub wrong: Vec<String>,
}

impl Sheet {
    /// The form of these settings as they are.
    #[must_use]
    pub fn new(views: &[SettingView]) -> Sheet {
        let mut sheet = Sheet::default();
        for view in views.iter().filter(|view| view.within.is_none()) {
            let parts = views.iter().filter(|part| part.within.as_ref() == Some(&view.name)).cloned().collect();
            let field = Field { view: view.clone(), text: view.text.clone(), wrong: Vec::new(), parts };
            let label = section(&view.name);
            match sheet.sections.iter_mut().find(|section| section.label == label) {
                Some(section) => section.fields.push(field),
                None => sheet.sections.push(Section { label, fields: vec![field] }),
            }
        }
        sheet
    }

    /// Puts back what was typed.
    #[must_use]
    pub fn typed(mut self, form: &Fields) -> Sheet {
        for field in self.fields() {
            if let Some(text) = sent(form, &field.view.name) {
                field.text = text;
            }
        }
        self
    }

    /// Tells beside its field, or above them all, what is wrong.
    pub fn tell(&mut self, setting: Option<&str>, text: &str) {
        let is_below = |long: &str, short: &str| long.strip_prefix(short).is_some_and(|rest| rest.starts_with('.'));
        let names: Vec<String> = self.fields().map(|field| field.view.name.clone()).collect();
        let found = setting.and_then(|setting| {
            let at = names.iter().position(|name| setting == name || is_below(setting, name));
            // A fault of a table as a whole (`access.relay`) belongs to all the fields below it: it is told at the first one.
            at.or_else(|| names.iter().position(|name| is_below(name, setting)))
        });
        match found.and_then(|at| self.fields().nth(at)) {
            Some(field) => field.wrong.push(text.to_owned()),
            None => self.wrong.push(text.to_owned()),
        }
    }

    /// How many faults are told of.
    #[must_use]
    pub fn faults(&self) -> usize {
        let of_fields = self.sections.iter().flat_map(|section| &section.fields).map(|field| field.wrong.len());
        of_fields.sum::<usize>() + self.wrong.len()
    }

    fn fields(&mut self) -> impl Iterator<Item = &mut Field> {
        self.sections.iter_mut().flat_map(|section| &mut section.fields)
    }
}

impl Field {
    /// Another text stands in the file when this is not what it was.
    pub(crate) fn was(&self) -> String {
        mark(&self.view.text)
    }

    pub(crate) fn rows(&self) -> usize {
        (self.text.lines().count() + 1).clamp(*ROWS.start(), *ROWS.end())
    }

    pub(crate) fn is_text_box(&self) -> bool {
        matches!(self.view.kind.as_str(), "list" | "table")
    }

    /// The options of a choice: the value, what is shown, whether it is chosen.
    pub(crate) fn options(&self) -> Vec<(String, String, bool)> {
        let words: Vec<String> = match self.view.kind.as_str() {
            "yes_no" => vec!["yes".into(), "no".into()],
            "choice" => self.view.choices.clone(),
            _ => return Vec::new(),
        };
        let default = (String::new(), format!("default: {}", self.view.default), self.text.is_empty());
        // What stands there and is no choice stays there until somebody chooses.
        let odd = Some(&self.text).filter(|text| !text.is_empty() && !words.contains(text));
        let words = words.iter().chain(odd).map(|word| (word.clone(), word.clone(), *word == self.text));
        std::iter::once(default).chain(words).collect()
    }

    /// What may stand in it, in a line.
    pub(crate) fn hint(&self) -> String {
        let mut hint = String::new();
        match self.view.kind.as_str() {
            "list" | "table" => hint.push_str("One a line. "),
            "secret" => hint.push_str("Where it is, as: file PATH, env NAME or credential NAME. "),
            _ => {}
        }
        if self.options().is_empty() {
            if !self.view.range.is_empty() {
                hint.push_str(&format!("{}. ", capital(&self.view.range)));
            }
            hint.push_str(&format!("Default: {}.", self.view.default.trim_end_matches('.')));
        }
        hint.trim_end().to_owned()
    }

    pub(crate) fn placeholder(&self) -> &str {
        let is_short = self.view.default.len() < 28 && !self.view.default.starts_with("none");
        if is_short { &self.view.default } else { "" }
    }

    /// What a listener's line may say; the manual has it as a table.
    pub(crate) fn example(&self) -> &'static str {
        match self.view.name.as_str() {
            "general.listen" => "0.0.0.0:587 starttls_required authentication_required",
            "access.relay.only" | "access.relay.all_except" => {
                "192.0.2.0/24 · certificate sha256:… · certificate_name app.example.com"
            }
            "access.inspection.verbs" => "MAIL 512",
            "access.certificate" => "{ file = \"tls/mx.pem\", key = \"tls/mx.key\" }",
            _ => "",
        }
    }
}

fn capital(words: &str) -> String {
    let mut signs = words.chars();
    signs.next().map(|first| first.to_uppercase().chain(signs).collect()).unwrap_or_default()
}

/// Changes that a form makes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Changes {
    /// What was changed in it.
    pub changes: Vec<Change>,
    /// Settings that were changed in it and by somebody else as well, since it was shown: the setting, and what it says now.
    pub meanwhile: Vec<(String, String)>,
}

/// What a form changes in these settings, as they are now.
#[must_use]
pub fn changes(form: &Fields, views: &[SettingView]) -> Changes {
    let mut found = Changes::default();
    for view in views.iter().filter(|view| view.within.is_none()) {
        let Some(text) = sent(form, &view.name) else { continue };
        let was = form.get(&format!("was:{}", view.name)).map(str::to_owned).unwrap_or_else(|| mark(&view.text));
        if mark(&text) == was || text.trim() == view.text {
            continue;
        }
        if was != mark(&view.text) {
            found
                .meanwhile
                .push((view.name.clone(), if view.text.is_empty() { view.default.clone() } else { view.text.clone() }));
        }
        if let Some(value) = settings::change(&view.name, &text) {
            found.changes.push(Change { setting: view.name.clone(), value });
        }
    }
    found
}

/// What was sent in a setting's field, with plain line ends.
fn sent(form: &Fields, name: &str) -> Option<String> {
    let field = format!("set:{name}");
    let text = form.all(&field).next()?;
    Some(text.replace("\r\n", "\n").replace('\r', "\n").trim().to_owned())
}

/// A mark by which a form tells whether a text is another one; not against anybody who means harm.
#[must_use]
pub fn mark(text: &str) -> String {
    let fnv = |hash: u64, octet: &u8| (hash ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3);
    format!("{:016x}", text.trim().as_bytes().iter().fold(0xcbf2_9ce4_8422_2325, fnv))
}

/// The heading under which the dialogs have a setting.
fn section(name: &str) -> &'static str {
    let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    match name {
        _ if starts(&["access.accounts", "access.authentication"]) => "Authentication",
        _ if starts(&["access.certificate", "access.client_certificate"]) => "Secure communication",
        _ if starts(&["access.connection"]) => "Connection control",
        _ if starts(&["access.relay"]) => "Relay restrictions",
        _ if starts(&["access.rate"]) => "Rates",
        _ if starts(&["access.inspection"]) => "Command inspection",
        "access.reverse_dns" => "Reverse DNS",
        _ if starts(&["messages.add", "messages.default_from", "messages.rewrite"]) => "Helps for sloppy senders",
        _ if starts(&["messages."]) => "Limits and reports",
        _ if starts(&["delivery.retry", "delivery.glitch", "delivery.delay", "delivery.expiry"]) => "Outbound",
        _ if starts(&["delivery.local"]) => "Local",
        _ if starts(&["delivery.tls", "delivery.authority", "delivery.mta_sts"]) => "Outbound security",
        _ if starts(&["delivery.connections", "delivery.timeout", "delivery.port", "delivery.bind"]) => {
            "Outbound connections"
        }
        _ if starts(&["delivery."]) => "Advanced delivery",
        _ if starts(&["queue."]) => "Bounds of the queue",
        "home" => "Home",
        _ if starts(&["domain.", "smart_host."]) => section_of_terms(name.split_once('.').map_or("", |(_, key)| key)),
        _ if starts(&["dns."]) => "DNS",
        _ if starts(&["state."]) => "The service's own files",
        _ if starts(&["console."]) => "Console",
        _ => "",
    }
}

fn section_of_terms(key: &str) -> &'static str {
    match key.split('.').next().unwrap_or(key) {
        "allow_relay" | "route" | "helo_only" | "provider" | "hosts" => "General",
        "drop" | "quota" => "Drop folder",
        "tls" | "authority" | "certificate" => "Outbound security",
        "auth" => "Log-on",
        "pacing" => "Pacing",
        "retry" | "glitch_retry" | "delay_notice" | "expiry" => "Retries and expiry",
        _ => "Advanced",
    }
}
