//! Every setting of the table, in the browser: shown with its label, default, unit and help on the page where it belongs; changed there,
//! seen before and after; and what is wrong with a value, beside its field.
//!
//! What is typed is made from the table, so that a setting that is new there is covered here: its page must show it, something that
//! fits its unit must be taken, and something that does not must be refused.

use super::{House, content};
use crate::harness::browser::Browser;
use relay::admin::settings::{self, change};
use relay::admin::view::SettingView;
use relay::config::settings::{ALL, Preset, Range, Setting, Tab, Unit, amount};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;

/// They are not changed here, and why. With a dot at its end all of a table, with one before it of whichever.
const UNTOUCHED: &[(&str, &str)] = &[
    ("home", "the queue would be elsewhere"),
    ("state.folder", "the control socket would be elsewhere"),
    ("console.enabled", "the page would be gone"),
    ("console.listen", "the page would be elsewhere"),
    ("access.connection.all_except", "there is access.connection.only"),
    ("access.relay.all_except", "there is access.relay.only"),
    ("access.relay.i_want_an_open_relay", "nobody wants one"),
    ("access.certificate.", "no authority is there to give one"),
    ("messages.default_from", "there is messages.add_from"),
    (".provider", "it stands for settings that are changed by themselves"),
    (".helo_only", "nobody logs on after HELO"),
    (".auth.allow_clear_text", "there is TLS"),
    (".auth.domain", "of another log-on"),
    (".auth.principal", "of another log-on"),
    (".auth.mechanism", "of another log-on"),
    (".auth.grant", "of another log-on"),
    (".auth.tenant", "of another log-on"),
    (".auth.client_id", "of another log-on"),
    (".auth.client_secret", "of another log-on"),
    (".auth.refresh_token", "of another log-on"),
    (".auth.token_endpoint", "of another log-on"),
    (".auth.device_endpoint", "of another log-on"),
    (".auth.scope", "of another log-on"),
];

/// What is typed where the unit alone does not say what makes sense.
const SAMPLES: &[(&str, &str)] = &[
    ("access.authentication.methods", "SCRAM-SHA-256"),
    ("access.authentication.oauth.issuer", "https://login.sample.test/tenant"),
    ("access.certificate.directory", "https://acme.sample.test/directory"),
    ("access.inspection.verbs", "EHLO 777\nMAIL 777\nRCPT 777\nDATA 777\nQUIT 777"),
    ("access.inspection.extensions", "SIZE"),
    ("messages.session_size_max", "20 MB"),
    ("delivery.tls", "verified"),
    ("smart_host.auth.method", "password"),
    ("domain.auth.method", "password"),
];

/// Settings, and what is typed into their fields.
type Typed = Vec<(&'static str, String)>;

/// A page with settings, and how they are changed by a command.
struct Form {
    page: &'static str,
    /// Those of the table that belong there.
    settings: Vec<&'static Setting>,
    command: Value,
}

impl Form {
    fn new(page: &'static str, is_here: impl Fn(&Setting) -> bool, command: Value) -> Form {
        Form { page, settings: ALL.iter().copied().filter(|setting| is_here(setting)).collect(), command }
    }

    /// What is said of them now.
    fn views(&self, house: &House) -> Vec<SettingView> {
        let text = fs::read_to_string(&house.relay.config).unwrap();
        match self.page {
            "/configuration/service" => settings::at_the_top(&text).unwrap(),
            "/smart-hosts/office" => settings::smart_hosts(&text).unwrap().remove(0).settings,
            page => match page.strip_prefix("/servers/Test/domains/") {
                Some(name) => {
                    let domains = settings::domains(&text, "Test", "local.test").unwrap();
                    domains.into_iter().find(|domain| domain.name == name).unwrap().settings
                }
                None => settings::of_server(&text, "Test").unwrap(),
            },
        }
    }

    /// Would the service take these? `None`: yes.
    fn fault(&self, house: &House, typed: &[(&str, String)]) -> Option<String> {
        let change = |(name, text): &(&str, String)| json!({ "setting": name, "value": change(name, text).unwrap() });
        let mut command = self.command.clone();
        command["changes"] = typed.iter().map(change).collect();
        let answer = house.first.post("/api/v1/commands?dry_run=true").json(&command).send();
        (answer.status != 200).then_some(answer.body)
    }
}

/// All pages with settings. One that is new in the table has its place on one of them, or this fails.
fn forms() -> Vec<Form> {
    let tab = |page, tabs: &'static [Tab]| {
        // The name has a form of its own, and what is within a listener is written there.
        let is_here = |setting: &Setting| {
            tabs.contains(&setting.tab) && setting.name != "name" && !setting.name.starts_with("general.listen.")
        };
        Form::new(page, is_here, json!({ "command": "set", "server": "Test" }))
    };
    let domain = |page, name: &str, is_here: fn(&str) -> bool| {
        let is_here = |setting: &Setting| {
            setting.tab == Tab::Domain
                && !matches!(setting.name, "domain.name" | "domain.kind")
                && is_here(setting.name)
        };
        Form::new(page, is_here, json!({ "command": "domain_set", "server": "Test", "domain": name }))
    };
    let top = |setting: &Setting| matches!(setting.tab, Tab::Dns | Tab::State | Tab::Console);
    let smart_host = |setting: &Setting| setting.tab == Tab::SmartHost && setting.name != "smart_host.name";
    let all = vec![
        tab("/servers/Test/properties/general", &[Tab::General]),
        tab("/servers/Test/properties/access", &[Tab::Access]),
        tab("/servers/Test/properties/messages", &[Tab::Messages]),
        tab("/servers/Test/properties/delivery", &[Tab::Delivery]),
        tab("/servers/Test/properties/advanced", &[Tab::Server, Tab::Queue]),
        Form::new("/configuration/service", top, json!({ "command": "set", "server": null })),
        Form::new("/smart-hosts/office", smart_host, json!({ "command": "smart_host_set", "smart_host": "office" })),
        domain("/servers/Test/domains/far.test", "far.test", |name| !matches!(name, "domain.drop" | "domain.quota")),
        domain("/servers/Test/domains/local.test", "local.test", |name| {
            !matches!(name, "domain.allow_relay" | "domain.helo_only")
        }),
    ];
    let here: BTreeSet<&str> = all.iter().flat_map(|form| &form.settings).map(|setting| setting.name).collect();
    let elsewhere = |name: &str| {
        matches!(name, "name" | "domain.name" | "domain.kind" | "smart_host.name")
            || name.starts_with("general.listen.")
    };
    let lost: Vec<&str> =
        ALL.iter().map(|setting| setting.name).filter(|name| !here.contains(name) && !elsewhere(name)).collect();
    assert!(lost.is_empty(), "on no page: {lost:?}");
    all
}

/// With a smart host `office` and a remote domain `far.test`.
fn house() -> House {
    House::open(|site, settings| {
        let hosts = format!("hosts = \"[{}]:2525\"", site.ip(2));
        settings.smart_host_object("office", &[&hosts]).remote("far.test", &["route = \"mx\""])
    })
}

/// Something that is not what holds now, as one types it; `None`: it names a file, which there would have to be.
fn sample(setting: &Setting, house: &House) -> Option<String> {
    if let Some((_, text)) = SAMPLES.iter().find(|(name, _)| *name == setting.name) {
        return Some((*text).to_owned());
    }
    let (least, most) = match setting.range {
        Range::Between(least, most) | Range::BetweenOrUnlimited(least, most) => (least, most),
        Range::Any | Range::OneOf(_) => (7, u64::MAX),
    };
    let number = match setting.default {
        Preset::Number(now) if now / 2 >= least && now > 1 => now / 2,
        Preset::Number(now) => (now + 1).min(most),
        _ => least,
    };
    of_unit(setting, setting.unit, number, house)
}

fn of_unit(setting: &Setting, unit: Unit, number: u64, house: &House) -> Option<String> {
    Some(match unit {
        Unit::Text => "sample".into(),
        Unit::Folder => format!("sample-{}", setting.key()),
        Unit::Size | Unit::Time | Unit::Count => amount(unit, number).trim_matches('"').to_owned(),
        Unit::Switch => if setting.default == Preset::Switch(true) { "no" } else { "yes" }.into(),
        Unit::Choice => {
            let Range::OneOf(words) = setting.range else { panic!("{} has nothing to choose from", setting.name) };
            let is_other =
                |word: &&&str| !matches!(setting.default, Preset::Text(now) if now.trim_matches('"') == **word);
            (*words.iter().rev().find(is_other).unwrap()).to_owned()
        }
        Unit::File => return None,
        Unit::Rate => "77/min".into(),
        Unit::Socket => house.site.at(9, 9_025).to_string(),
        Unit::Listener => house.site.at(1, 2_526).to_string(),
        Unit::Peer | Unit::PeerOrCertificate | Unit::Network => "127.0.0.0/8".into(),
        Unit::Address => house.site.ip(1).to_string(),
        Unit::Verbs => "MAIL 777".into(),
        Unit::Secret => "env MAILROOT_SAMPLE".into(),
        Unit::Domain | Unit::Pattern => "sample.test".into(),
        Unit::Mailbox => "sample@local.test".into(),
        Unit::Host => "host.sample.test".into(),
        Unit::Route => "smtp://host.sample.test:26".into(),
        Unit::List(unit, _) => of_unit(setting, *unit, number, house)?,
    })
}

/// What is typed into the fields of a form: of every setting something, as far as they go together; and why the others do not.
fn samples(form: &Form, house: &House) -> (Typed, Vec<String>) {
    let is_it = |other: &str, name: &str| match other {
        table if table.ends_with('.') => name.starts_with(table),
        key if key.starts_with('.') => name.ends_with(key),
        whole => whole == name,
    };
    let is_touched = |name: &str| !UNTOUCHED.iter().any(|(other, _)| is_it(other, name));
    let wanted = form.settings.iter().filter(|setting| is_touched(setting.name));
    let mut left: Typed = wanted.filter_map(|setting| Some((setting.name, sample(setting, house)?))).collect();
    if form.fault(house, &left).is_none() {
        return (left, Vec::new());
    }
    let (mut typed, mut faults) = (Typed::new(), Vec::new());
    // One by one; then those of a table together, because some make no sense alone; then what needed any of these.
    let table = |name: &str| name.rsplit_once('.').map(|(table, _)| table.to_owned());
    for together in [false, true, false] {
        let mut kept = Typed::new();
        faults.clear();
        while let Some(first) = left.first().map(|(name, _)| *name) {
            let goes = |(name, _): &(&str, String)| *name == first || together && table(name) == table(first);
            let (group, others): (Typed, Typed) = left.drain(..).partition(goes);
            left = others;
            let tried = [typed.clone(), group.clone()].concat();
            match form.fault(house, &tried) {
                None => typed = tried,
                Some(fault) => {
                    faults.push(format!("{group:?}: {fault}"));
                    kept.extend(group);
                }
            }
        }
        left = kept;
    }
    (typed, faults)
}

/// Something that no setting of this unit can be; `None`: it takes any text.
fn nonsense(unit: Unit) -> Option<&'static str> {
    match unit {
        Unit::Text | Unit::Folder | Unit::File => None,
        Unit::Verbs => Some("MAIL soon"),
        Unit::List(unit, _) => nonsense(*unit),
        _ => Some("<b>no such thing</b>"),
    }
}

/// Puts something into a setting's field, as somebody with a keyboard would.
fn put(browser: &Browser, setting: &Setting, text: &str) {
    let field = format!("[name='set:{}']", setting.name);
    if matches!(setting.unit, Unit::Switch | Unit::Choice) {
        // What is no choice nobody can choose; a program can send it.
        let add = format!(
            "const field = document.querySelector(\"{field}\"); if (![...field.options].some(one => one.value === {text:?})) \
             field.add(new Option({text:?}, {text:?}));"
        );
        browser.script(&add);
        browser.choose(&field, text);
    } else {
        browser.fill(&field, text);
    }
}

/// What the page has of each setting.
fn shown(browser: &Browser) -> Vec<Value> {
    let all = browser.script(
        "return [...document.querySelectorAll('.setting')].map(part => ({ name: part.id, \
         label: part.querySelector('label').innerText, value: part.querySelector('[name^=\"set:\"]').value, \
         about: part.querySelector('.about').textContent.replace(/\\s+/g, ' '), \
         options: [...part.querySelectorAll('option')].map(option => option.textContent), \
         wrong: [...part.querySelectorAll('.wrong')].map(line => line.innerText) }))",
    );
    all.as_array().unwrap().clone()
}

fn one<'a>(shown: &'a [Value], name: &str, page: &str) -> &'a Value {
    shown.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("{name} is not on {page}"))
}

#[test]
fn every_setting_is_shown_with_its_default_its_unit_and_its_help() {
    let house = house();
    let browser = house.browser("administrator");
    for form in forms() {
        browser.go(form.page);
        let shown = shown(&browser);
        let views = form.views(&house);
        let is_part = |setting: &&&Setting| views.iter().any(|view| view.name == setting.name && view.within.is_some());
        for setting in form.settings.iter().filter(|setting| !is_part(setting)) {
            let view = settings::view(setting, None);
            let one = one(&shown, setting.name, form.page);
            let label = one["label"].as_str().unwrap();
            assert!(label.starts_with(setting.label), "{}: {label}", setting.name);
            assert_eq!(label.to_lowercase().contains("restarts"), view.restarts, "{}", setting.name);
            let about = one["about"].as_str().unwrap();
            let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(about.contains(&words(&view.help)), "{}: its help: {about}", setting.name);
            assert!(about.contains(setting.name), "{}: its name in the file: {about}", setting.name);
            let options = one["options"].as_array().unwrap();
            if options.is_empty() {
                let default = format!("Default: {}", words(view.default.trim_end_matches('.')));
                assert!(about.contains(&default), "{}: {default}: {about}", setting.name);
                assert!(about.contains(&words(&view.written_as)), "{}: its unit: {about}", setting.name);
                assert!(about.to_lowercase().contains(&words(&view.range).to_lowercase()), "{}: {about}", setting.name);
            } else {
                assert_eq!(options[0], format!("default: {}", view.default), "{}", setting.name);
                assert!(
                    view.choices.iter().all(|word| options.iter().any(|option| option == word)),
                    "{}",
                    setting.name
                );
            }
        }
        let unknown: Vec<_> = shown
            .iter()
            .map(|one| one["name"].as_str().unwrap())
            .filter(|name| settings::find(name).is_none())
            .collect();
        assert!(unknown.is_empty(), "{}: {unknown:?}", form.page);
        // What a listener's line may say is told with the listeners.
        for part in views.iter().filter(|part| part.within.is_some() && form.page.ends_with(&part.tab)) {
            let about = one(&shown, part.within.as_ref().unwrap(), form.page)["about"].as_str().unwrap();
            assert!(about.contains(&part.label) && about.contains(&part.name), "{}: {about}", part.name);
        }
    }
    // It can be opened.
    browser.go("/servers/Test/properties/messages");
    browser.click("[id='messages.size_max'] summary");
    browser.see(&settings::view(settings::find("messages.size_max").unwrap(), None).help);
    content(&browser, &[]);
}

#[test]
fn every_setting_is_changed_seen_before_and_after_and_in_the_file() {
    let house = house();
    let browser = house.browser("administrator");
    let mut kinds = BTreeSet::new();
    let forms = forms();
    let (samples, faults): (Vec<Typed>, Vec<_>) = forms.iter().map(|form| samples(form, &house)).unzip();
    assert!(faults.concat().is_empty(), "write samples that are taken, or why there are none: {faults:#?}");
    for (form, typed) in forms.iter().zip(samples) {
        browser.go(form.page);
        for (name, text) in &typed {
            put(&browser, settings::find(name).unwrap(), text);
        }
        let before = fs::read_to_string(&house.relay.config).unwrap();
        browser.press("Save…");
        browser.see("What restarts");
        let diff = browser
            .script("return [...document.querySelectorAll('main .add')].map(line => line.textContent).join('\\n')");
        let diff = diff.as_str().unwrap();
        for (name, text) in &typed {
            let key = name.rsplit('.').next().unwrap();
            let value = text.split([' ', '\n']).next().unwrap();
            let is_switch = settings::find(name).unwrap().unit == Unit::Switch;
            assert!(diff.contains(key) && (is_switch || diff.contains(value)), "{name}, {text}: {diff}");
        }
        assert_eq!(fs::read_to_string(&house.relay.config).unwrap(), before, "it is only shown yet");
        browser.press("Save");
        browser.see_no("What restarts");
        browser.go(form.page);
        let (shown, views) = (shown(&browser), form.views(&house));
        for (name, text) in &typed {
            let view = views.iter().find(|view| view.name == *name).unwrap();
            assert_eq!((&view.text, &one(&shown, name, form.page)["value"]), (text, &json!(text)), "{name}");
            kinds.insert(view.kind.clone());
        }
    }
    let all: BTreeSet<String> = ALL.iter().map(|setting| settings::view(setting, None).kind).collect();
    assert_eq!(kinds, all, "each kind of field was used");
    content(&browser, &[]);
}

/// Types nonsense into these fields, and finds it and a complaint there; those beside which nothing stands.
fn silent<'s>(browser: &Browser, form: &Form, method: Option<&str>, wrong: &[&'s Setting]) -> Vec<&'s Setting> {
    browser.go(form.page);
    for setting in wrong {
        put(browser, setting, nonsense(setting.unit).unwrap());
    }
    for (setting, method) in form.settings.iter().filter(|setting| setting.name.ends_with(".auth.method")).zip(method) {
        put(browser, setting, method);
    }
    browser.press("Save…");
    browser.see("not right; nothing was changed");
    let shown = shown(browser);
    for setting in wrong {
        let kept = one(&shown, setting.name, form.page)["value"].as_str();
        assert_eq!(kept, nonsense(setting.unit), "{}: what was typed stays", setting.name);
    }
    let is_silent = |setting: &&&Setting| one(&shown, setting.name, form.page)["wrong"] == json!([]);
    wrong.iter().filter(is_silent).copied().collect()
}

#[test]
fn a_value_that_makes_no_sense_is_told_beside_its_field_and_nothing_is_saved() {
    let house = house();
    let browser = house.browser("administrator");
    let before = fs::read_to_string(&house.relay.config).unwrap();
    let kind = |setting: &&Setting| settings::view(setting, None).kind;
    let (mut kinds, mut untold) = (BTreeSet::new(), Vec::new());
    for form in forms() {
        let wrong: Vec<_> = form.settings.iter().copied().filter(|setting| nonsense(setting.unit).is_some()).collect();
        kinds.extend(wrong.iter().map(kind));
        let mut left = silent(&browser, &form, None, &wrong);
        // What belongs to a log-on is looked at once it is known which log-on it is.
        for method in ["password", "oauth"] {
            let is_of_log_on = |setting: &&Setting| setting.name.contains(".auth.");
            let (of_log_on, others): (Vec<_>, Vec<_>) = left.iter().copied().partition(is_of_log_on);
            left = others;
            if !of_log_on.is_empty() {
                left.extend(silent(&browser, &form, Some(method), &of_log_on));
            }
        }
        untold.extend(left.iter().map(|setting| setting.name));
        assert_eq!(fs::read_to_string(&house.relay.config).unwrap(), before, "{}", form.page);
    }
    assert!(untold.is_empty(), "nothing stands beside {untold:?}");
    // A file or a folder may be called anything.
    let any_text = ALL.iter().filter(|setting| nonsense(setting.unit).is_none()).map(kind).collect::<BTreeSet<_>>();
    let all: BTreeSet<String> = ALL.iter().map(kind).collect();
    assert!(all.difference(&kinds).all(|kind| any_text.contains(kind)), "{kinds:?}");
    content(&browser, &["422"]);
}
