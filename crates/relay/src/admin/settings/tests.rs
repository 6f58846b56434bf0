//! Each setting once, and there and back between field and file.

use super::*;
use crate::admin::Change;
use crate::config::Config;

const FILE: &str = r#"
[dns]
servers = ["127.0.0.1:5353"]

[[smart_host]]
name = "office"
hosts = "smtp.example.com:587"
auth = { method = "password", user = "relay", password = { file = "office.password" } }

[[virtual_server]]
name = "One"
home = "one"
  [virtual_server.general]
  listen = ["127.0.0.1:2525", { address = "127.0.0.1:2587", tls = "starttls_required", authentication_required = true }]
  [virtual_server.access]
  certificate = { file = "tls/mx.pem", key = "tls/mx.key" }
  client_certificate = { authority = "tls/clients.pem" }
  relay = { only = ["127.0.0.1", { certificate_name = "app.example.com" }] }
  authentication = { methods = ["SCRAM-SHA-256"] }
  [virtual_server.access.inspection]
  verbs = { EHLO = 255, STARTTLS = 10, AUTH = 2048, MAIL = 512, RCPT = 512, DATA = 6, QUIT = 6 }
  [virtual_server.messages]
  size_max = "5 MB"  # agreed
  [virtual_server.delivery]
  fqdn = "one.example.com"
  smart_host = "office"
  retry = ["15 min", "1 h"]
  [[virtual_server.domain]]
  name = "example.com"
  kind = "default"
  quota = "1 GB"
  [[virtual_server.domain]]
  name = "*.branch.example.com"
  kind = "remote"
  route = "smart_host:office"
  [[virtual_server.domain]]
  name = "example.org"
  kind = "alias"
"#;

fn sound(text: &str) -> Config {
    match Config::parse(text, "/x/mailroot.toml", "host.example.com") {
        Ok(config) => config,
        Err(problems) => panic!("{}", problems.iter().map(|p| format!("{p}\n")).collect::<String>() + text),
    }
}

#[test]
fn each_setting_of_the_table_appears_once() {
    let mut names: Vec<String> = Vec::new();
    names.extend(of_server(FILE, "One").unwrap().into_iter().map(|view| view.name));
    names.extend(at_the_top(FILE).unwrap().into_iter().map(|view| view.name));
    names.extend(smart_hosts(FILE).unwrap().remove(0).settings.into_iter().map(|view| view.name));
    let domains = domains(FILE, "One", "host.example.com").unwrap();
    let mut of_domains: Vec<String> =
        domains.into_iter().flat_map(|domain| domain.settings).map(|view| view.name).collect();
    of_domains.sort_unstable();
    of_domains.dedup();
    names.extend(of_domains);
    names.sort_unstable();
    // Names and kinds of what a list has are changed by commands of their own.
    let own = ["domain.name", "domain.kind", "smart_host.name"];
    let mut all: Vec<&str> =
        settings::ALL.iter().map(|setting| setting.name).filter(|name| !own.contains(name)).collect();
    all.sort_unstable();
    assert_eq!(names, all);
}

#[test]
fn a_view_says_all_that_a_form_needs() {
    let views = of_server(FILE, "one").unwrap();
    let view = |name: &str| views.iter().find(|view| view.name == name).unwrap();
    let size = view("messages.size_max");
    assert_eq!((size.tab.as_str(), size.kind.as_str(), size.text.as_str()), ("messages", "size", "5 MB"));
    assert_eq!((size.value.as_deref(), size.default.as_str()), (Some("\"5 MB\""), "2 MB"));
    assert_eq!(size.range, "1 KB to 1 TB, or unlimited");
    assert_eq!(view("general.bare_newlines").choices, ["reject", "normalize"]);
    assert_eq!(view("delivery.retry").default, "15 min, 30 min, 1 h, 4 h");
    assert_eq!(view("access.relay.authenticated").default, "yes");
    assert_eq!(view("general.listen.tls").within.as_deref(), Some("general.listen"));
    assert!(view("queue.memory_max").restarts && view("home").restarts && !size.restarts);
    assert_eq!(view("general.listen").text, "127.0.0.1:2525\n127.0.0.1:2587 starttls_required authentication_required");
    assert_eq!(view("access.relay.only").text, "127.0.0.1\ncertificate_name app.example.com");
    assert!(view("access.inspection.verbs").text.starts_with("EHLO 255\nSTARTTLS 10\n"));
    assert!(views.iter().all(|view| !view.default.contains('`') && !view.help.contains('`')));
}

#[test]
fn several_certificates_are_one_list() {
    let text = FILE.replace(
        "certificate = { file = \"tls/mx.pem\", key = \"tls/mx.key\" }",
        "certificate = [{ file = \"tls/mx.pem\", key = \"tls/mx.key\" }, { pfx = \"tls/b.pfx\" }]",
    );
    sound(&text);
    let views = of_server(&text, "One").unwrap();
    let list = views.iter().find(|view| view.name == "access.certificate").unwrap();
    assert_eq!(list.text, "{ file = \"tls/mx.pem\", key = \"tls/mx.key\" }\n{ pfx = \"tls/b.pfx\" }");
    let part = views.iter().find(|view| view.name == "access.certificate.pfx").unwrap();
    assert_eq!(part.within.as_deref(), Some("access.certificate"));
    assert_eq!(
        change("access.certificate", &list.text).unwrap().unwrap(),
        "[{ file = \"tls/mx.pem\", key = \"tls/mx.key\" }, { pfx = \"tls/b.pfx\" }]"
    );
}

#[test]
fn what_is_shown_reads_back() {
    for (name, toml) in [
        ("messages.size_max", "\"5 MB\""),
        ("messages.size_max", "\"unlimited\""),
        ("general.connections_max", "1000"),
        ("access.reverse_dns", "true"),
        ("general.listen", "[\"127.0.0.1:2525\", { address = \"[::]:465\", tls = \"implicit\" }]"),
        ("access.relay.only", "[\"127.0.0.1\", { certificate = \"sha256:00\" }, { certificate_name = \"a.test\" }]"),
        ("access.relay.only", "[]"),
        ("access.inspection.verbs", "{ EHLO = 255, MAIL = 512 }"),
        ("access.inspection.extensions", "[\"PIPELINING\", \"SIZE\"]"),
        ("access.relay.i_want_an_open_relay", "\"Everybody may send, \\\"really\\\" \\\\ yes\""),
        ("delivery.fqdn", "\"relay.example.com\""),
        ("delivery.smart_host", "[\"[192.0.2.1]:25\", \"smtp.example.com\"]"),
        ("smart_host.auth.password", "{ env = \"PASSWORD\" }"),
        ("smart_host.auth.user", "\"{ not = 'a table' }\""),
        ("smart_host.auth.user", "\"\\\"quoted\\\"\""),
        ("smart_host.auth.user", "\"[x]\""),
        ("domain.route", "[\"smtp://a.test:25\", \"smtp://b.test:25\"]"),
    ] {
        let setting = find(name).unwrap();
        let text = shown(setting, toml);
        let back = typed(setting, &text).unwrap();
        let normal = |toml: &str| {
            toml.parse::<Value>().unwrap_or_else(|error| panic!("{toml}: {error}")).to_string().replace(' ', "")
        };
        assert_eq!(normal(&back), normal(toml), "{name}: {text}");
        assert_eq!(shown(setting, &back), text, "{name}");
    }
}

#[test]
fn an_administrator_types_what_he_is_used_to() {
    for (name, text, toml) in [
        ("messages.size_max", "2MB", Some("\"2MB\"")),
        ("messages.size_max", " \"2 MB\" ", Some("\"2 MB\"")),
        ("messages.size_max", "No limit", Some("\"unlimited\"")),
        ("messages.size_max", "  ", None),
        ("general.connections_max", "1,000", Some("1000")),
        ("general.connections_max", "007", Some("7")),
        ("general.connections_max", "none", Some("\"unlimited\"")),
        ("general.connections_max", "many", Some("\"many\"")),
        ("access.reverse_dns", "Yes", Some("true")),
        ("access.reverse_dns", "off", Some("false")),
        (
            "access.relay.only",
            "10.0.0.1, 10.0.0.2\r\n10.0.1.0/24;",
            Some("[\"10.0.0.1\", \"10.0.0.2\", \"10.0.1.0/24\"]"),
        ),
        ("access.relay.only", "[\"10.0.0.1\"]", Some("[\"10.0.0.1\"]")),
        ("access.relay.only", "sha256:ab", Some("[{ certificate = \"sha256:ab\" }]")),
        (
            "general.listen",
            "0.0.0.0:25\n0.0.0.0:465 implicit",
            Some("[\"0.0.0.0:25\", { address = \"0.0.0.0:465\", tls = \"implicit\" }]"),
        ),
        ("general.listen", "0.0.0.0:25 tls", Some("[\"0.0.0.0:25 tls\"]")),
        ("delivery.smart_host", "smtp.example.com", Some("\"smtp.example.com\"")),
        ("domain.route", "smtp://a.test:25\nsmtp://b.test:25", Some("[\"smtp://a.test:25\", \"smtp://b.test:25\"]")),
        ("delivery.retry", "15 min, 30 min", Some("[\"15 min\", \"30 min\"]")),
        ("access.inspection.verbs", "MAIL 512\nRCPT: 512", Some("{ MAIL = 512, RCPT = 512 }")),
        ("smart_host.auth.password", "file: /etc/x", Some("{ file = \"/etc/x\" }")),
        ("smart_host.auth.password", "hunter2", Some("{ file = \"hunter2\" }")),
    ] {
        assert_eq!(typed(find(name).unwrap(), text).as_deref(), toml, "{name}: {text}");
    }
}

/// Whatever is typed into whichever field: it is one value of TOML, and changes nothing but its setting.
#[test]
fn nothing_typed_breaks_out_of_its_value() {
    let odd = [
        "\"",
        "'",
        "\\",
        "]",
        "}",
        "[",
        "{",
        "#",
        "\"\"\"",
        "a\" # b",
        "x\"\n[dns]\nservers = [\"192.0.2.1:53\"]\n",
        "1\nport = 2",
        "{ a = 1 }\n[x]",
        "[1, 2",
        "{ a = 1",
        "\u{0}",
        "\u{7f}",
        "\u{1b}[31m",
        "é\u{2028}x",
        "'''",
        "= 1",
        "a, \"b",
        "{ x = \"",
        "\r",
        "\\u0000",
        "\"a\" = 1, b",
        "nan",
        "1979-05-27",
        "<script>alert(1)</script>",
        "🦀",
        "MAIL = 1, x = { y",
        "certificate \"x\" }",
        "a b c d",
    ];
    for setting in settings::ALL {
        for text in odd {
            let Some(toml) = typed(setting, text) else { continue };
            assert!(toml.parse::<Value>().is_ok(), "{}: {text:?} became {toml:?}", setting.name);
            if SERVER_TABS.contains(&setting.tab) && within(setting).is_none() {
                let change = Change { setting: setting.name.into(), value: Some(toml.clone()) };
                let after = edit::set(FILE, Some("One"), &[change]).unwrap_or_else(|fault| panic!("{text:?}: {fault}"));
                // Put back, it is the file as it was: nothing else was touched.
                let name = if setting.name == "name" { text.trim() } else { "One" };
                let before = edit::get(FILE, Some("One"), setting.name).unwrap();
                let back = edit::set(&after, Some(name), &[Change { setting: setting.name.into(), value: before }]);
                let back = back.unwrap_or_else(|fault| panic!("{}: {text:?}: {fault}", setting.name));
                let tight = |text: &str| {
                    text.split_whitespace().filter(|part| !part.starts_with("[virtual")).collect::<String>()
                };
                assert_eq!(tight(&back), tight(FILE), "{}: {text:?}", setting.name);
            }
        }
    }
}

#[test]
fn domains_say_where_their_mail_goes() {
    let list = domains(FILE, "One", "host.example.com").unwrap();
    let line = |domain: &crate::admin::view::DomainView| (domain.name.clone(), domain.route.clone(), domain.open);
    assert_eq!(
        list.iter().map(line).collect::<Vec<_>>(),
        [
            ("example.com".to_owned(), "the Drop folder".to_owned(), true),
            ("*.branch.example.com".to_owned(), "smart host office".to_owned(), false),
            ("example.org".to_owned(), "as the default domain's mail".to_owned(), true),
        ]
    );
    let text = FILE.replace("kind = \"default\"\n  quota = \"1 GB\"", "kind = \"alias\"");
    let list = domains(&text, "One", "host.example.com").unwrap();
    assert_eq!((list[0].name.as_str(), list[0].written), ("host.example.com", false));
    assert!(matches!(domains(FILE, "Two", ""), Err(EditFault::Missing(_))));
}

#[test]
fn smart_hosts_say_who_uses_them_and_hide_their_secrets() {
    sound(FILE);
    let host = smart_hosts(FILE).unwrap().remove(0);
    assert_eq!(host.used_by, ["One", "*.branch.example.com of One"]);
    let password = |host: &crate::admin::view::SmartHostView| {
        host.settings.iter().find(|view| view.name == "smart_host.auth.password").unwrap().clone()
    };
    assert_eq!(password(&host).text, "file office.password");
    for wrong in
        ["\"hunter2\"", "{ file = \"x\", hunter2 = 1 }", "{ hunter2 = \"x\" }", "[\"hunter2\"]", "{ file = 2 }"]
    {
        let text = FILE.replace("{ file = \"office.password\" }", wrong);
        let host = smart_hosts(&text).unwrap().remove(0);
        assert_eq!(password(&host).value.as_deref(), Some(HIDDEN), "{wrong}");
        assert!(!format!("{host:?}").contains("hunter2"), "{wrong}");
    }
}

#[test]
fn secrets_in_a_text_are_concealed() {
    for (text, shown) in [
        ("password = \"hunter2\"\nport = 25", "password = \"***\"\nport = 25"),
        (
            "+auth = { user = \"a\", password = \"hu\\\"nter2\", x = 1 }",
            "+auth = { user = \"a\", password = \"***\", x = 1 }",
        ),
        ("client_secret='hunter2' # c", "client_secret=\"***\" # c"),
        ("password = { file = \"x\" }", "password = { file = \"x\" }"),
        ("password_file = \"x\"", "password_file = \"x\""),
        ("passwort = \"\"\"\nhunter2\n\"\"\"\na = 1", "passwort = \"***\"\na = 1"),
        ("password = \"hunter2\nx = 1", "password = \"***\"\nx = 1"),
        ("\"refresh_token\" = \"hunter2\"", "\"refresh_token\" = \"***\""),
        ("fqdn = \"a=b\" # = x", "fqdn = \"a=b\" # = x"),
    ] {
        assert_eq!(conceal(text), shown);
    }
}

#[test]
fn a_secret_in_a_command_is_not_written_down() {
    let change = |setting: &str, value: &str| Change { setting: setting.into(), value: Some(value.into()) };
    let changes = vec![
        change("auth.password", "\"hunter2\""),
        change("smart_host.auth.client_secret", "[\"hunter2\"]"),
        change("auth", "{ method = \"password\", password = \"hunter2\" }"),
        change("auth.refresh_token", "{ file = \"token\" }"),
        change("hosts", "\"smtp.example.com\""),
    ];
    let told = presentable(&crate::admin::Command::SmartHostSet { smart_host: "x".into(), changes });
    let crate::admin::Command::SmartHostSet { changes, .. } = &told else { panic!("{told:?}") };
    assert!(!format!("{told:?}").contains("hunter2"), "{told:?}");
    assert_eq!(changes[3].value.as_deref(), Some("{ file = \"token\" }"));
    assert_eq!(changes[4].value.as_deref(), Some("\"smtp.example.com\""));
}

#[test]
fn a_place_in_the_text_is_a_setting() {
    let server = || SpotTable::Server("One".into());
    for (words, table, setting) in [
        ("\"5 MB\"", server(), "messages.size_max"),
        ("tls = \"starttls_required\"", server(), "general.listen"),
        ("\"tls/mx.key\"", server(), "access.certificate.key"),
        ("{ file = \"tls/mx.pem\"", server(), "access.certificate"),
        ("retry", server(), "delivery.retry"),
        ("\"1 GB\"", SpotTable::Domain("One".into(), "example.com".into()), "domain.quota"),
        ("\"office.password\"", SpotTable::SmartHost("office".into()), "smart_host.auth.password.file"),
        ("\"127.0.0.1:5353\"", SpotTable::Top, "dns.servers"),
        ("[virtual_server.delivery]", server(), "delivery"),
    ] {
        let at = FILE.find(words).unwrap();
        assert_eq!(spot(FILE, at), Some(Spot { table, setting: setting.into() }), "{words}");
    }
    assert_eq!(spot("a = ", 0), None);
    assert_eq!(spot(FILE, FILE.find("# agreed").unwrap()), None);
}
