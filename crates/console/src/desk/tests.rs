//! Pages and forms, as values and as text.

use super::*;
use crate::form::Fields;
use crate::layout::{Frame, Place};
use crate::{Confirm, Page};
use relay::admin::view::*;
use relay::admin::{Change, Command, Inquiry, Operator, Role, Scope, settings};

/// What would be trouble in a page if it were not escaped.
const EVIL: &str = "\"><img src=x onerror=alert(1)><script>alert(2)</script>{{7*7}}'&amp;";

const FILE: &str = r#"
[[virtual_server]]
name = "One"
home = "one"
  [virtual_server.access]
  relay = { only = ["127.0.0.1", "10.0.0.0/8"] }
  [virtual_server.messages]
  size_max = "5 MB"
"#;

fn frame(role: Role) -> Frame {
    Frame {
        title: EVIL.into(),
        operator: Operator { name: EVIL.into(), role, scope: Scope::All },
        csrf: "token".into(),
        servers: vec![server()],
        place: Place::Elsewhere,
        alarms: 0,
        flash: None,
    }
}

fn server() -> ServerView {
    ServerView {
        name: EVIL.into(),
        state: ServerState::Running,
        trouble: vec![EVIL.into()],
        listen: vec![EVIL.into()],
        home: EVIL.into(),
        fqdn: EVIL.into(),
        sessions_in: 0,
        sessions_out: 0,
        queue: Some(0),
        destinations: 0,
    }
}

fn fields(pairs: &[(&str, &str)]) -> Fields {
    Fields(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
}

fn tab(tab: Tab) -> Vec<SettingView> {
    tab.settings(settings::of_server(FILE, "One").unwrap())
}

/// What a browser sends of a form that was shown as `views`, with some fields filled in otherwise.
fn sent(views: &[SettingView], typed: &[(&str, &str)]) -> Fields {
    let mut pairs = Vec::new();
    for field in Sheet::new(views).sections.into_iter().flat_map(|section| section.fields) {
        let name = field.view.name.clone();
        let own = typed.iter().find(|(typed, _)| *typed == name).map(|(_, text)| (*text).to_owned());
        pairs.push((format!("set:{name}"), own.unwrap_or_else(|| field.text.replace('\n', "\r\n"))));
        pairs.push((format!("was:{name}"), field.was()));
    }
    Fields(pairs)
}

fn set(setting: &str, value: Option<&str>) -> Change {
    Change { setting: setting.into(), value: value.map(str::to_owned) }
}

#[test]
fn a_form_changes_what_was_changed_in_it_and_nothing_else() {
    for tab_of in [Tab::General, Tab::Access, Tab::Messages, Tab::Delivery, Tab::Advanced] {
        let views = tab(tab_of);
        assert_eq!(changes(&sent(&views, &[]), &views), Changes::default(), "{tab_of:?}");
    }
    let views = tab(Tab::Messages);
    let form = sent(&views, &[("messages.size_max", "7 MB"), ("messages.add_date", "yes")]);
    let expected = [set("messages.size_max", Some("\"7 MB\"")), set("messages.add_date", Some("true"))];
    assert_eq!(changes(&form, &views).changes, expected);
    let form = sent(&views, &[("messages.size_max", "")]);
    assert_eq!(changes(&form, &views).changes, [set("messages.size_max", None)], "emptied: the default holds");
    let views = tab(Tab::Access);
    let form = sent(&views, &[("access.relay.only", "127.0.0.1\r\n10.0.0.0/8\r\n192.0.2.7\r\n")]);
    let expected = set("access.relay.only", Some("[\"127.0.0.1\", \"10.0.0.0/8\", \"192.0.2.7\"]"));
    assert_eq!(changes(&form, &views).changes, [expected]);
}

/// Two operators have the same tab open: the second one's form does not undo what the first one has saved.
#[test]
fn two_at_once_do_not_undo_each_other() {
    let shown = tab(Tab::Messages);
    let form = sent(&shown, &[("messages.recipients_max", "50")]);
    let after = FILE.replace("5 MB", "9 MB");
    let now = Tab::Messages.settings(settings::of_server(&after, "One").unwrap());
    let found = changes(&form, &now);
    assert_eq!(found.changes, [set("messages.recipients_max", Some("50"))]);
    assert!(found.meanwhile.is_empty());
    // The same setting: he is told.
    let form = sent(&shown, &[("messages.size_max", "1 MB")]);
    assert_eq!(changes(&form, &now).meanwhile, [("messages.size_max".to_owned(), "9 MB".to_owned())]);
    // Both typed the same.
    assert_eq!(changes(&sent(&shown, &[("messages.size_max", "9 MB")]), &now), Changes::default());
}

#[test]
fn faults_stand_beside_their_fields_with_what_was_typed() {
    let views = tab(Tab::Access);
    let form = sent(&views, &[("access.relay.only", "0.0.0.0/0"), ("access.reverse_dns", "maybe")]);
    let mut sheet = Sheet::new(&views).typed(&form);
    sheet.tell(Some("access.relay.only"), "that would be an open relay");
    sheet.tell(Some("access.relay"), "the table as a whole");
    sheet.tell(Some("access.inspection.verbs.MAIL"), "a verb");
    sheet.tell(Some("messages.size_max"), "of another tab");
    sheet.tell(None, "of none");
    assert_eq!(sheet.faults(), 5);
    assert_eq!(sheet.wrong, ["of another tab", "of none"]);
    let wrong = |name: &str| {
        let mut all = sheet.sections.iter().flat_map(|section| &section.fields);
        all.find(|field| field.view.name == name).unwrap().clone()
    };
    assert_eq!(wrong("access.relay.only").wrong, ["that would be an open relay", "the table as a whole"]);
    assert_eq!(wrong("access.relay.only").text, "0.0.0.0/0");
    assert_eq!(wrong("access.inspection.verbs").wrong, ["a verb"]);
    let page =
        Properties { frame: frame(Role::Administrator), server: server(), tab: Tab::Access, sheet, operators: None };
    let html = page.html();
    assert!(html.contains("that would be an open relay") && html.contains("aria-invalid=\"true\""), "{html}");
    assert!(html.contains("0.0.0.0/0</textarea>"));
    assert!(html.contains("<option value=\"maybe\" selected>"), "what was typed is kept, whatever it is");
}

#[test]
fn every_setting_of_a_tab_has_a_field_with_its_default_and_its_help() {
    for tab_of in [Tab::General, Tab::Access, Tab::Messages, Tab::Delivery, Tab::Advanced] {
        let views = tab(tab_of);
        let sheet = Sheet::new(&views);
        let page =
            Properties { frame: frame(Role::Administrator), server: server(), tab: tab_of, sheet, operators: None };
        let html = page.html();
        for view in &views {
            let shown = format!("<code>{}</code>", view.name);
            assert!(html.contains(&shown), "{} has no help", view.name);
            let field = format!("name=\"set:{}\"", view.name);
            assert_eq!(html.matches(&field).count(), usize::from(view.within.is_none()), "{}", view.name);
        }
    }
    let all: usize =
        [Tab::General, Tab::Access, Tab::Messages, Tab::Delivery, Tab::Advanced].map(|own| tab(own).len()).iter().sum();
    assert_eq!(
        all + 1,
        settings::of_server(FILE, "One").unwrap().len(),
        "all but the name, which is changed by Rename"
    );
}

#[test]
fn who_may_not_change_sees_no_button() {
    for role in Role::ALL {
        let sheet = Sheet::new(&tab(Tab::General));
        let page = Properties { frame: frame(role), server: server(), tab: Tab::General, sheet, operators: None };
        let html = page.html();
        assert_eq!(html.contains("id=\"save\""), role == Role::Administrator, "{role}");
        assert_eq!(html.contains("Delete…"), role == Role::Administrator, "{role}");
        assert_eq!(html.contains("<fieldset class=\"sheet\" disabled>"), role != Role::Administrator, "{role}");
    }
}

/// Every page with what would be trouble in every text of a stranger or an operator.
#[test]
#[expect(clippy::too_many_lines, reason = "one list of all pages")]
fn no_text_becomes_a_part_of_a_page() {
    let evil = || EVIL.to_owned();
    let file = FILE.replace("5 MB", &EVIL.replace('"', "\\\""));
    let views = Tab::Messages.settings(settings::of_server(&file, "One").unwrap());
    let mut sheet = Sheet::new(&views);
    sheet.tell(None, EVIL);
    sheet.tell(Some("messages.size_max"), EVIL);
    let frame = || frame(Role::Administrator);
    let outcome = || Outcome {
        text: evil(),
        diff: format!("--- before\n+++ after\n+{EVIL}\n"),
        restarts: vec![evil()],
        troubles: vec![evil()],
        secret: Some(evil()),
        ..Outcome::default()
    };
    let domain = || DomainView {
        name: evil(),
        kind: relay::admin::DomainKind::Remote,
        route: evil(),
        open: true,
        written: true,
        settings: Vec::new(),
    };
    let host = || SmartHostView { name: evil(), settings: settings::of_new_smart_host(), used_by: vec![evil()] };
    let operator = OperatorView {
        name: evil(),
        role: Role::Auditor,
        scope: Scope::Servers(vec![evil()]),
        disabled: true,
        has_password: false,
        last_log_on: Some(evil()),
        sessions: 1,
    };
    let token = TokenView {
        name: evil(),
        role: Role::Auditor,
        scope: Scope::All,
        made: evil(),
        by: evil(),
        until: evil(),
        expired: true,
    };
    let version = VersionView { version: 1, at: evil(), who: evil(), what: evil(), current: false };
    let form = || {
        let names = [
            "server", "from", "sender", "rcpt", "auth", "port", "helo", "name", "recipe", "listen", "home", "host",
            "kind",
        ];
        fields(&names.map(|name| (name, EVIL)))
    };
    let decision = DecisionView {
        stage: evil(),
        asked: evil(),
        accepted: false,
        outcome: evil(),
        because: evil(),
        setting: Some(evil()),
        tab: Some("domain".into()),
        whose: Some(evil()),
        value: evil(),
        line: Some(1),
    };
    let answer = ExplainView { server: evil(), accepted: false, decisions: vec![decision] };
    let record = AuditRecord {
        at: evil(),
        who: evil(),
        from: evil(),
        server: Some(evil()),
        what: evil(),
        before: Some(evil()),
        after: Some(evil()),
        outcome: evil(),
    };
    let certificate = CertificateView {
        server: evil(),
        source: evil(),
        names: vec![evil()],
        issuer: evil(),
        from: evil(),
        until: evil(),
        days_left: -1,
        trouble: vec![evil()],
        listeners: vec![evil()],
        fingerprint: evil(),
        key: evil(),
    };
    let command = Command::ServerDelete { server: evil() };
    let operators = Some(vec![operator.clone()]);
    let filter = audit_filter(&fields(&[("who", EVIL), ("text", EVIL), ("server", EVIL), ("outcome", EVIL)]));
    let items = relay::admin::view::Page { items: vec![record], total: None, next: Some(evil()) };
    let pages: Vec<Box<dyn Page>> = vec![
        Box::new(Properties {
            frame: frame(),
            server: server(),
            tab: Tab::Messages,
            sheet: sheet.clone(),
            operators: None,
        }),
        Box::new(Properties {
            frame: frame(),
            server: server(),
            tab: Tab::Security,
            sheet: Sheet::default(),
            operators,
        }),
        Box::new(Confirm {
            frame: frame(),
            server: evil(),
            says: vec![evil()],
            change: Some(outcome()),
            action: evil(),
            fields: vec![("command".into(), serde_json::to_string(&command).unwrap()), (evil(), evil())],
            button: evil(),
            danger: true,
            back: evil(),
        }),
        Box::new(Done { frame: frame(), outcome: outcome(), secret_note: evil(), back: evil() }),
        Box::new(Trouble { frame: frame(), text: evil(), problems: vec![evil()], edited: true, back: evil() }),
        Box::new(Domains { frame: frame(), server: evil(), domains: vec![domain()] }),
        Box::new(DomainPage { frame: frame(), server: evil(), domain: domain(), sheet: sheet.clone() }),
        Box::new(NewDomainPage {
            frame: frame(),
            server: evil(),
            smart_hosts: vec![evil()],
            form: form(),
            wrong: vec![evil()],
        }),
        Box::new(SmartHosts { frame: frame(), hosts: vec![host()] }),
        Box::new(SmartHostPage { frame: frame(), host: host(), sheet: sheet.clone() }),
        Box::new(NewSmartHostPage { frame: frame(), name: evil(), sheet: sheet.clone() }),
        Box::new(NewServerPage {
            frame: frame(),
            form: form(),
            wrong: vec![(String::new(), evil()), ("name".into(), evil())],
        }),
        Box::new(Configuration {
            frame: frame(),
            file: evil(),
            versions: vec![version.clone()],
            edited: outcome().diff,
        }),
        Box::new(Version { frame: frame(), version, diff: outcome().diff, text: evil() }),
        Box::new(ServiceSettings { frame: frame(), sheet }),
        Box::new(Explain { frame: frame(), form: form(), answer: Some(answer), wrong: Some(evil()) }),
        Box::new(Audit { frame: frame(), filter, older: true, records: items }),
        Box::new(Certificates { frame: frame(), certificates: vec![certificate] }),
        Box::new(Operators {
            frame: frame(),
            operators: vec![operator],
            tokens: vec![token],
            form: form(),
            wrong: Some(evil()),
        }),
    ];
    for (number, page) in pages.iter().enumerate() {
        let html = page.html();
        assert!(html.contains("&#60;img") || html.contains("&lt;img"), "page {number} shows nothing of it: {html}");
        assert!(!html.contains("<img src=x") && !html.contains("<script>"), "page {number}: {html}");
        assert!(!html.contains("onerror=alert(1)>"), "page {number}: {html}");
        assert!(!html.contains("{{") || html.matches("{{7*7}}").count() == html.matches("{{").count());
    }
}

#[test]
fn a_secret_in_a_difference_is_hidden() {
    let lines = diff_lines(
        "--- before\n+++ after\n@@ -1 +1 @@\n-password = \"hunter2\"\n+auth = { client_secret = \"hunter2\" }\n x\n",
    );
    assert!(lines.iter().all(|line| !line.text.contains("hunter2")), "{lines:?}");
    assert_eq!(lines.iter().map(|line| line.kind).collect::<Vec<_>>(), ["", "del", "add", ""]);
}

#[test]
fn the_wizard_for_a_domain_knows_what_was_meant() {
    let made = |pairs: &[(&str, &str)]| match new_domain("One", &fields(pairs)) {
        Ok(Command::DomainAdd { new, .. }) => {
            let change = |change: &Change| format!("{}={}", change.setting, change.value.as_deref().unwrap_or("-"));
            new.changes.iter().map(change).collect::<Vec<_>>().join(" ")
        }
        Ok(other) => panic!("{other:?}"),
        Err(fault) => fault.to_string(),
    };
    let remote =
        |route: &str, host: &str| made(&[("name", "a.test"), ("kind", "remote"), ("route", route), ("host", host)]);
    assert_eq!(remote("smtp", "mail.a.test"), "route=\"smtp://mail.a.test:25\"");
    assert_eq!(
        remote("smtp", "[2001:db8::1], b.test:2525"),
        "route=[\"smtp://[2001:db8::1]:25\", \"smtp://b.test:2525\"]"
    );
    assert_eq!(remote("lmtp", "[2001:db8::1]:24"), "route=\"lmtp://[2001:db8::1]:24\"");
    assert_eq!(remote("mx", ""), "route=\"mx\"");
    assert_eq!(remote("smtp", ""), "The host that takes its mail is missing");
    assert_eq!(remote("", ""), "");
    assert_eq!(made(&[("name", "a.test"), ("kind", "remote"), ("allow_relay", "yes")]), "allow_relay=true");
    assert_eq!(made(&[("name", "a.test"), ("kind", "alias"), ("allow_relay", "yes"), ("route", "mx")]), "");
    assert_eq!(made(&[("name", " "), ("kind", "alias")]), "The domain's name is missing");
    assert_eq!(made(&[("name", "a.test")]), "Say which kind of domain it is");
}

#[test]
fn the_wizard_for_a_virtual_server_proposes_what_its_recipe_has() {
    let page = |pairs: &[(&str, &str)]| NewServerPage {
        frame: frame(Role::Administrator),
        form: fields(pairs),
        wrong: Vec::new(),
    };
    assert!(page(&[]).html().contains("/servers/new?recipe=submission"));
    let html = page(&[("recipe", "submission")]).html();
    assert!(html.contains("0.0.0.0:587 starttls_required authentication_required"), "{html}");
    assert!(html.contains("value=\"Submission\""), "{html}");
    let command = new_server(&fields(&[
        ("recipe", ""),
        ("name", "Two"),
        ("listen", "0.0.0.0:26\r\n\r\n[::]:26 "),
        ("home", "two"),
        ("default_domain", "two.test"),
    ]));
    let Ok(Command::ServerNew { new }) = command else { panic!("{command:?}") };
    assert_eq!((new.listen, new.recipe), (vec!["0.0.0.0:26".to_owned(), "[::]:26".to_owned()], None));
    assert_eq!(new_server(&fields(&[("name", "Two")])).unwrap_err().0, "home");
}

#[test]
fn operators_and_their_forms() {
    let command = |pairs: &[(&str, &str)]| operator_command(&fields(pairs));
    let add = command(&[("do", "add"), ("name", " anna "), ("role", "help_desk"), ("scope", "One"), ("scope", "Two")]);
    let scope = Scope::Servers(vec!["One".into(), "Two".into()]);
    assert_eq!(add, Ok(Command::OperatorAdd { name: "anna".into(), role: Role::HelpDesk, scope }));
    let token = command(&[("do", "token"), ("name", "x"), ("role", "auditor"), ("days", "90"), ("scope", "")]);
    assert_eq!(token, Ok(Command::TokenNew { name: "x".into(), role: Role::Auditor, scope: Scope::All, days: 90 }));
    for wrong in [
        &[("do", "add"), ("name", "x"), ("scope", "")][..],
        &[("do", "add"), ("name", "x"), ("role", "auditor")],
        &[("do", "set"), ("name", "x"), ("role", "auditor")],
        &[("do", "add"), ("role", "auditor")],
        &[("do", "token"), ("name", "x"), ("role", "auditor"), ("days", "0"), ("scope", "")],
        &[("do", "token"), ("name", "x"), ("role", "auditor"), ("days", "9999"), ("scope", "")],
        &[("do", "dance"), ("name", "x")],
        &[("name", "x")],
    ] {
        assert!(command(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn the_setting_that_decided_is_linked_for_whoever_may_see_it() {
    let decision = |setting: &str, tab: &str, whose: Option<&str>| DecisionView {
        stage: "recipient".into(),
        asked: String::new(),
        accepted: false,
        outcome: "550".into(),
        because: String::new(),
        setting: Some(setting.into()),
        tab: Some(tab.into()),
        whose: whose.map(str::to_owned),
        value: String::new(),
        line: None,
    };
    let decisions = vec![
        decision("access.relay.only", "access", None),
        decision("domain.route", "domain", Some("*.far.test")),
        decision("smart_host.sender", "smart_host", Some("the office")),
        decision("domain.kind", "domain", None),
        decision("queue.memory_max", "queue", None),
    ];
    let page = |role| Explain {
        frame: frame(role),
        form: Fields::default(),
        answer: Some(ExplainView { server: "One".into(), accepted: false, decisions: decisions.clone() }),
        wrong: None,
    };
    let html = page(Role::Operator).html();
    for link in [
        "/servers/One/properties/access#access.relay.only",
        "/servers/One/domains/%2A.far.test#domain.route",
        "/smart-hosts/the%20office#smart_host.sender",
        "/servers/One/domains",
        "/servers/One/properties/advanced#queue.memory_max",
    ] {
        assert!(html.contains(&format!("href=\"{link}\"")), "{link}");
    }
    assert!(!page(Role::HelpDesk).html().contains("properties/access#"));
    let asked =
        inquiry(&fields(&[("from", "192.0.2.1"), ("rcpt", "a@b"), ("tls", "yes"), ("port", "587"), ("server", "")]));
    let expected =
        Inquiry { from: "192.0.2.1".into(), rcpt: "a@b".into(), tls: true, port: Some(587), ..Inquiry::default() };
    assert_eq!(asked, expected);
}

#[test]
fn an_audit_record_is_told_in_words() {
    let set = r#"{"command":"set","server":"One","changes":[{"setting":"messages.size_max","value":"\"5 MB\""},{"setting":"messages.badmail","value":null}]}"#;
    assert_eq!(lists::done(set), "set: messages.size_max = \"5 MB\", messages.badmail taken out");
    assert_eq!(lists::done(r#"{"command":"operator_remove","name":"anna"}"#), "operator remove: name anna");
    assert_eq!(lists::done("log-on"), "log-on");
}
