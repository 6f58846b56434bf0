//! Pages of what is set, as a browser without scripts finds them: forms filled in and sent, in the file and in force.

use crate::harness::client::Client;
use crate::harness::console::{Answer, Ask, Visitor, accept, first_link, with_console};
use crate::harness::mail::plain;
use crate::harness::relay::{Relay, Settings};
use crate::harness::{SOON, Site, until};
use serde_json::json;
use std::fs;

fn opened(site: &Site, settings: &Settings) -> (Relay, Visitor) {
    let relay = Relay::start(site, settings);
    let visitor = accept(site.at(1, 8025), &first_link(&relay));
    (relay, visitor)
}

/// A page with its forms: what a browser would send of one, with some fields filled in.
struct Page {
    answer: Answer,
}

/// The value of an attribute in a tag.
fn attribute(tag: &str, name: &str) -> Option<String> {
    let at = tag.find(&format!(" {name}=\""))? + name.len() + 3;
    Some(unescaped(&tag[at..at + tag[at..].find('"')?]))
}

fn unescaped(text: &str) -> String {
    let plain = text.replace("&#34;", "\"").replace("&#39;", "'").replace("&#60;", "<").replace("&#62;", ">");
    plain.replace("&#38;", "&")
}

/// Sends a form as a browser does: its own word is a field of the form.
fn sent(visitor: &Visitor, action: &str, fields: &[(&str, &str)]) -> Answer {
    Ask::new(visitor.at, "POST", action).field("cookie", &visitor.cookie).form(fields).send()
}

impl Page {
    fn get(visitor: &Visitor, path: &str) -> Page {
        Page { answer: visitor.get(path).send() }
    }

    fn body(&self) -> &str {
        &self.answer.body
    }

    fn good(self) -> Page {
        assert_eq!(self.answer.status, 200, "{:?}", self.answer);
        self
    }

    /// All fields of the form that goes to this address, as they stand there.
    fn form(&self, action: &str) -> Vec<(String, String)> {
        let head = format!("action=\"{action}\"");
        let start = self.body().find(&head).unwrap_or_else(|| panic!("no form {action} in {}", self.body()));
        let form = &self.body()[start..start + self.body()[start..].find("</form>").unwrap()];
        let mut fields = Vec::new();
        for (at, _) in form.match_indices('<') {
            let tag = &form[at..at + form[at..].find('>').unwrap_or(0)];
            let Some(name) = attribute(tag, "name") else { continue };
            let value = match tag.split([' ', '\n']).next() {
                Some("<input") if tag.contains("type=\"radio\"") || tag.contains("type=\"checkbox\"") => {
                    if !tag.contains(" checked") {
                        continue;
                    }
                    attribute(tag, "value").unwrap_or_default()
                }
                Some("<input") => attribute(tag, "value").unwrap_or_default(),
                Some("<textarea") => {
                    let text = &form[at + tag.len() + 1..];
                    unescaped(&text[..text.find("</textarea>").unwrap()]).trim_start_matches('\n').replace('\n', "\r\n")
                }
                Some("<select") => {
                    let list = &form[at..at + form[at..].find("</select>").unwrap()];
                    let chosen = list.find(" selected>").map(|end| &list[list[..end].rfind('<').unwrap()..=end]);
                    chosen.and_then(|tag| attribute(tag, "value")).unwrap_or_default()
                }
                _ => continue,
            };
            fields.push((name, value));
        }
        fields
    }

    /// Sends that form.
    fn send(&self, visitor: &Visitor, action: &str, typed: &[(&str, &str)]) -> Page {
        let mut fields = self.form(action);
        for (name, value) in typed {
            match fields.iter_mut().find(|(field, _)| field == name) {
                Some((_, old)) => (*value).clone_into(old),
                None => fields.push(((*name).into(), (*value).into())),
            }
        }
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        Page { answer: sent(visitor, action, &fields) }
    }

    /// Presses the button of the page that shows what would happen.
    fn confirm(&self, visitor: &Visitor) -> String {
        assert_eq!(self.answer.status, 200, "{:?}", self.answer);
        let done = self.send(visitor, "/confirm", &[]);
        assert_eq!(done.answer.status, 303, "{:?}", done.answer);
        done.answer.field("location").unwrap().to_owned()
    }
}

/// Changes a setting on its tab, and checks where one comes out.
fn set(visitor: &Visitor, tab: &str, name: &str, value: &str) -> Page {
    let here = format!("/servers/Test/properties/{tab}");
    let page = Page::get(visitor, &here).good();
    page.send(visitor, &here, &[(&format!("set:{name}"), value)])
}

#[test]
fn a_setting_of_each_tab_is_changed_in_the_file_and_in_force() {
    let site = Site::new();
    let (relay, visitor) = opened(&site, &with_console(&site));
    let text = fs::read_to_string(&relay.config).unwrap();
    fs::write(&relay.config, format!("# Ours.\n{text}")).unwrap();
    assert_eq!(visitor.command(&json!({"command": "config_reload"})).status, 200);
    for (tab, name, typed, written, shown) in [
        ("general", "general.connections_max", "1,234", "connections_max = 1234", "1234"),
        ("access", "access.relay.only", "127.0.0.0/8, 192.0.2.7", "\"192.0.2.7\"", "192.0.2.7"),
        ("messages", "messages.size_max", "3MB", "size_max = \"3MB\"", "3MB"),
        ("delivery", "delivery.expiry", "3 days", "expiry = \"3 days\"", "3 days"),
        ("advanced", "queue.messages_max", "5000", "messages_max = 5000", "5000"),
    ] {
        let preview = set(&visitor, tab, name, typed);
        assert!(preview.body().contains(&written.replace('"', "&#34;")), "{}", preview.body());
        let before = fs::read_to_string(&relay.config).unwrap();
        assert!(!before.contains(written), "nothing is written before the button is pressed");
        let restarts = preview.body().contains("is restarted");
        assert_eq!(restarts, tab == "advanced", "{}", preview.body());
        let back = preview.confirm(&visitor);
        assert_eq!(back, format!("/servers/Test/properties/{tab}"));
        let text = fs::read_to_string(&relay.config).unwrap();
        assert!(text.starts_with("# Ours.") && text.contains(written), "{text}");
        let page = Page::get(&visitor, &back).good();
        let now = page.form(&back).into_iter().find(|(field, _)| *field == format!("set:{name}")).unwrap();
        assert!(now.1.contains(shown), "{now:?}");
    }
    let size = until(SOON, "the restarted server greets", || {
        let stream = std::net::TcpStream::connect(relay.at).ok()?;
        Client::over(stream).try_reply().filter(|reply| reply.code == 220)?;
        Some(Client::greet(relay.at).say("EHLO again.test").text())
    });
    assert!(size.contains("SIZE 3145728"), "it is in force: {size}");
    let service = Page::get(&visitor, "/configuration/service").good();
    let preview = service.send(&visitor, "/configuration/service", &[("set:console.session_idle", "20 min")]);
    preview.confirm(&visitor);
    assert!(fs::read_to_string(&relay.config).unwrap().contains("session_idle = \"20 min\""));
    // Each change is in the audit log, with who made it.
    let audit = Page::get(&visitor, "/audit?text=size_max").good();
    assert!(
        audit.body().contains("messages.size_max = &#34;3MB&#34;") && audit.body().contains("administrator"),
        "{}",
        audit.body()
    );
    assert!(!audit.body().contains("messages_max"), "the filter holds");
}

#[test]
fn a_wrong_value_is_explained_beside_its_field_and_what_was_typed_is_kept() {
    let site = Site::new();
    let (relay, visitor) = opened(&site, &with_console(&site));
    let before = fs::read_to_string(&relay.config).unwrap();
    for (tab, name, typed, told) in [
        ("messages", "messages.size_max", "soon", "is not a size"),
        ("general", "general.connections_max", "0", "out of its range"),
        ("access", "access.relay.only", "0.0.0.0/0", "open relay"),
        ("delivery", "delivery.smart_host", "\"x\"]\n[dns]", "smart_host"),
        ("general", "general.listen", "127.0.0.1:25 sometimes", "listen"),
    ] {
        let page = set(&visitor, tab, name, typed);
        assert_eq!(page.answer.status, 422, "{name}: {:?}", page.answer);
        let field = &page.body()[page.body().find(&format!("id=\"{name}\"")).unwrap()..];
        let field = &field[..field.find("class=\"about\"").unwrap()];
        assert!(field.contains("class=\"wrong\"") && field.contains(told), "{name}: {field}");
        let kept = page.form(&format!("/servers/Test/properties/{tab}"));
        let kept = kept.iter().find(|(field, _)| *field == format!("set:{name}")).unwrap();
        assert_eq!(kept.1.replace("\r\n", "\n"), typed, "{name}");
    }
    assert_eq!(fs::read_to_string(&relay.config).unwrap(), before, "nothing was changed");
}

#[test]
fn a_hand_edit_and_another_operator_are_noticed() {
    let site = Site::new();
    let (relay, visitor) = opened(&site, &with_console(&site));
    // Another operator saves while this one looks at the difference.
    let preview = set(&visitor, "messages", "messages.recipients_max", "50").good();
    let other = set(&visitor, "messages", "messages.size_max", "4 MB").good();
    other.confirm(&visitor);
    let shown_again = preview.send(&visitor, "/confirm", &[]);
    assert!(shown_again.body().contains("has been changed since this was shown"), "{:?}", shown_again.answer);
    shown_again.confirm(&visitor);
    let text = fs::read_to_string(&relay.config).unwrap();
    assert!(text.contains("recipients_max = 50") && text.contains("size_max = \"4 MB\""), "{text}");

    // Somebody edits the file.
    fs::write(&relay.config, format!("{text}# by hand\n")).unwrap();
    let conflict = set(&visitor, "messages", "messages.size_max", "6 MB");
    assert_eq!(conflict.answer.status, 409, "{:?}", conflict.answer);
    assert!(conflict.body().contains("edited by hand") && conflict.body().contains("/configuration"));
    assert!(fs::read_to_string(&relay.config).unwrap().ends_with("# by hand\n"), "it is not overwritten");
    let page = Page::get(&visitor, "/configuration").good();
    assert!(page.body().contains("+# by hand"), "{}", page.body());
    page.send(&visitor, "/configuration/reload", &[]).confirm(&visitor);
    set(&visitor, "messages", "messages.size_max", "6 MB").confirm(&visitor);

    // Back to what it was.
    let page = Page::get(&visitor, "/configuration").good();
    assert!(page.body().contains("as it was edited by hand"), "{}", page.body());
    let preview = page.send(&visitor, "/configuration/versions/1/rollback", &[]);
    assert!(preview.body().contains("-# by hand"), "{}", preview.body());
    preview.confirm(&visitor);
    let text = fs::read_to_string(&relay.config).unwrap();
    assert!(!text.contains("by hand") && !text.contains("recipients_max"), "{text}");
    let version = Page::get(&visitor, "/configuration/versions/2").good();
    assert!(version.body().contains("recipients_max") || version.body().contains("size_max"), "{}", version.body());
}

#[test]
fn a_virtual_server_is_made_renamed_and_deleted() {
    let site = Site::new();
    let (relay, visitor) = opened(&site, &with_console(&site));
    let page = Page::get(&visitor, "/servers/new").good();
    assert!(page.body().contains("recipe=application"), "{}", page.body());
    let page = Page::get(&visitor, "/servers/new?recipe=application").good();
    let at = site.at(3, 2525);
    let name = "Second \"<2>\" / ü";
    let typed = [("name", name), ("listen", &at.to_string()), ("home", "second"), ("default_domain", "second.test")];
    let wrong = page.send(
        &visitor,
        "/servers/new",
        &[("name", "Test"), ("listen", "x"), ("home", "x"), ("default_domain", "a b")],
    );
    assert!(matches!(wrong.answer.status, 422 | 409) && wrong.body().contains("already"), "{:?}", wrong.answer);
    let preview = page.send(&visitor, "/servers/new", &typed);
    assert!(preview.body().contains("is started"), "{:?}", preview.answer);
    let back = preview.confirm(&visitor);
    let text = fs::read_to_string(&relay.config).unwrap();
    assert!(text.contains("Second \\\"<2>\\\" / ü") && text.contains("bare_newlines"), "{text}");
    let page = Page::get(&visitor, &back).good();
    assert!(page.body().contains("10.0.7.12"), "the recipe's relay list: {}", page.body());
    let taken = until(SOON, "it takes mail", || {
        let stream = std::net::TcpStream::connect(at).ok()?;
        drop(stream);
        Some(Client::greet(at).message("a@second.test", &["b@far.test"], &plain("x", "y")))
    });
    assert_eq!(taken.code, 250, "{taken:?}");
    assert!(relay.config.with_file_name("tls").exists(), "what the recipe needs is beside it");

    let general = back.replace("/access", "/general");
    let rename = general.replace("/properties/general", "/rename");
    let preview = Page::get(&visitor, &general).good().send(&visitor, &rename, &[("name", "Third")]);
    assert_eq!(preview.confirm(&visitor), "/servers/Third/properties/general");
    let page = Page::get(&visitor, "/servers/Third/properties/general").good();
    let preview = page.send(&visitor, "/servers/Third/delete", &[]);
    assert!(preview.body().contains("is stopped") && preview.body().contains("stays"), "{}", preview.body());
    assert_eq!(preview.confirm(&visitor), "/");
    assert!(std::net::TcpStream::connect(at).is_err(), "it listens no more");
    assert!(site.folder.join("second").exists(), "its folders stay");
}

#[test]
fn domains_and_smart_hosts_are_added_changed_renamed_and_removed() {
    let site = Site::new();
    let (relay, visitor) = opened(&site, &with_console(&site));
    let text = || fs::read_to_string(&relay.config).unwrap();
    let new = Page::get(&visitor, "/new-smart-host").good();
    let password = site.folder.write("password", "hunter2\n");
    let secret = format!("file {}", password.display());
    let typed = [
        ("name", "office"),
        ("set:smart_host.hosts", "smtp.office.test:587"),
        ("set:smart_host.auth.method", "password"),
        ("set:smart_host.auth.user", "relay"),
        ("set:smart_host.auth.password", secret.as_str()),
    ];
    new.send(&visitor, "/new-smart-host", &typed).confirm(&visitor);
    assert!(text().contains("[[smart_host]]") && text().contains("smtp.office.test:587"), "{}", text());
    let page = Page::get(&visitor, "/smart-hosts/office").good();
    assert!(page.body().contains("password") && !page.body().contains("hunter2"));

    let wizard = Page::get(&visitor, "/servers/Test/new-domain").good();
    let here = "/servers/Test/new-domain";
    let typed = [("name", "*.branch.test"), ("kind", "remote"), ("route", "smart_host"), ("smart_host", "office")];
    wizard.send(&visitor, here, &[typed[0], typed[1], typed[2], typed[3], ("allow_relay", "yes")]).confirm(&visitor);
    let reply = Client::greet(relay.at).say("VRFY x");
    assert!(reply.code < 600);
    let page = Page::get(&visitor, "/servers/Test/domains").good();
    assert!(page.body().contains("smart host office") && page.body().contains("*.branch.test"), "{}", page.body());
    let here = "/servers/Test/domains/%2A.branch.test";
    let page = Page::get(&visitor, here).good();
    page.send(&visitor, here, &[("set:domain.allow_relay", "no")]).confirm(&visitor);
    assert!(text().contains("allow_relay = false"));
    let wrong = Page::get(&visitor, here).send(&visitor, here, &[("set:domain.route", "nowhere:x")]);
    assert!(wrong.answer.status == 422 && wrong.body().contains("class=\"wrong\""), "{:?}", wrong.answer);
    let rename = format!("{here}/rename");
    let back = Page::get(&visitor, here).send(&visitor, &rename, &[("name", "*.far.test")]).confirm(&visitor);
    let used = Page::get(&visitor, "/smart-hosts/office").good();
    assert!(used.body().contains("*.far.test of Test"), "{}", used.body());
    // Who is named cannot go.
    let refused = used.send(&visitor, "/smart-hosts/office/remove", &[]);
    assert_eq!(refused.answer.status, 422, "{:?}", refused.answer);
    Page::get(&visitor, &back).send(&visitor, &format!("{back}/remove"), &[]).confirm(&visitor);
    used.send(&visitor, "/smart-hosts/office/remove", &[]).confirm(&visitor);
    assert!(!text().contains("far.test") && !text().contains("office"), "{}", text());
    // The default domain is renamed, and its quota changed.
    let here = "/servers/Test/domains/local.test";
    Page::get(&visitor, here).send(&visitor, here, &[("set:domain.quota", "50 MB")]).confirm(&visitor);
    Page::get(&visitor, here).send(&visitor, &format!("{here}/rename"), &[("name", "home.test")]).confirm(&visitor);
    let reply = Client::greet(relay.at).message("a@far.test", &["b@home.test"], &plain("x", "y"));
    assert_eq!(reply.code, 250, "{reply:?}");
    relay.wait_for_drop("home.test");
}

#[test]
fn explain_names_what_decides_and_links_it() {
    let site = Site::new();
    let (_relay, visitor) = opened(&site, &with_console(&site));
    let page = Page::get(&visitor, "/explain?from=192.0.2.9&sender=a%40b.test&rcpt=c%40far.test").good();
    assert!(
        page.body().contains("The mail would be refused by") || page.body().contains("would be refused"),
        "{}",
        page.body()
    );
    assert!(page.body().contains("/servers/Test/properties/access#access.relay.only"), "{}", page.body());
    let page = Page::get(&visitor, "/explain?from=127.0.0.1&sender=&rcpt=c%40local.test").good();
    assert!(page.body().contains("would be taken"), "{}", page.body());
    let page = Page::get(&visitor, "/explain?from=here&rcpt=c%40local.test").good();
    assert!(page.body().contains("is no address") && page.body().contains("value=\"here\""), "{}", page.body());
    let certificates = Page::get(&visitor, "/certificates").good();
    assert!(certificates.body().contains("No virtual server has a certificate"));
}

/// Whoever may only look is refused, whatever he sends; and sees no button.
#[test]
fn each_role_sees_and_does_what_it_may() {
    let site = Site::new();
    let (relay, administrator) = opened(&site, &with_console(&site));
    let before = fs::read_to_string(&relay.config).unwrap();
    for role in ["help_desk", "operator", "auditor"] {
        let page = Page::get(&administrator, "/operators").good();
        // There are several forms that go there: the one for a new operator has all that is needed.
        let csrf = page.form("/operators").into_iter().find(|(name, _)| name == "csrf").unwrap().1;
        let form = [("csrf", csrf.as_str()), ("do", "add"), ("name", role), ("role", role), ("scope", "")];
        let added = sent(&administrator, "/operators", &form);
        assert!(matches!(added.status, 200 | 303), "{added:?}");
        let form = [("csrf", csrf.as_str()), ("do", "invite"), ("name", role)];
        let invited = sent(&administrator, "/operators", &form);
        assert!(invited.status == 200 && invited.body.contains("shown this once"), "{invited:?}");
        let at = invited.body.find("/invite/").unwrap();
        let link = invited.body[at..at + "/invite/".len() + 64].to_owned();
        let visitor = accept(administrator.at, &link);
        let sees = role != "help_desk";
        for (path, allowed) in [
            ("/servers/Test/properties/messages", sees),
            ("/servers/Test/domains", sees),
            ("/smart-hosts", sees),
            ("/configuration", sees),
            ("/certificates", sees),
            ("/explain", true),
            ("/audit", role == "auditor"),
            ("/operators", role == "auditor"),
            ("/servers/new", false),
        ] {
            let page = Page::get(&visitor, path);
            assert_eq!(page.answer.status, if allowed { 200 } else { 403 }, "{role} {path}");
            for button in ["id=\"save\"", "New domain…", "New smart host…", "Delete…", "name=\"do\""] {
                assert!(!page.body().contains(button), "{role} {path} shows {button}");
            }
        }
        let command = json!({"command": "server_delete", "server": "Test"}).to_string();
        for (path, fields) in [
            (
                "/servers/Test/properties/messages",
                vec![("set:messages.size_max", "9 MB"), ("was:messages.size_max", "x")],
            ),
            ("/servers/Test/delete", vec![]),
            ("/servers/Test/rename", vec![("name", "Other")]),
            ("/servers/Test/new-domain", vec![("name", "x.test"), ("kind", "alias")]),
            ("/servers/Test/domains/local.test/remove", vec![]),
            ("/new-smart-host", vec![("name", "x"), ("set:smart_host.hosts", "x.test")]),
            ("/configuration/reload", vec![]),
            ("/configuration/versions/1/rollback", vec![]),
            ("/operators", vec![("do", "add"), ("name", "x"), ("role", "administrator"), ("scope", "")]),
            ("/servers/new", vec![("name", "x"), ("home", "x"), ("default_domain", "x.test")]),
            ("/confirm", vec![("command", command.as_str())]),
        ] {
            let answer = visitor.post(path).form(&fields).send();
            // A confirmation without the mark of what was shown is only shown anew, and that is refused.
            assert_eq!(answer.status, 403, "{role} {path}: {answer:?}");
            let forged = sent(&visitor, path, &fields);
            assert_eq!(forged.status, 403, "{role} {path} without the word of a page of ours");
        }
    }
    assert_eq!(fs::read_to_string(&relay.config).unwrap(), before);
    let audit = Page::get(&administrator, "/audit?outcome=refused").good();
    assert!(!audit.body().contains("No record"), "what was refused leaves a record where it was to be done");
}
