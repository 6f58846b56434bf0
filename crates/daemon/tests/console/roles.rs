//! What each role may: every command and every view, for all and for one virtual server.

use super::{admitted, opened, token};
use crate::harness::Site;
use crate::harness::console::{Ask, Visitor};
use serde_json::{Value, json};

/// Every command: of operation, or of administration; of a virtual server, or of the service.
fn commands() -> Vec<(&'static str, bool, Value)> {
    let (on, none) = ("Test", json!([]));
    let all = json!("all");
    let command = |operation: bool, value: Value| {
        let server = if value.get("server").is_some_and(|server| server == on) { on } else { "" };
        (server, operation, value)
    };
    let new = json!({"name": "New", "listen": ["127.0.0.1:0"], "home": "new", "default_domain": "new.test"});
    let which = json!({"ids": []});
    vec![
        command(false, json!({"command": "server_new", "new": new})),
        command(false, json!({"command": "server_rename", "server": on, "name": "Other"})),
        command(false, json!({"command": "server_delete", "server": on})),
        command(true, json!({"command": "server_state", "server": on, "verb": "pause"})),
        command(true, json!({"command": "session_end", "server": on, "session": "1"})),
        command(true, json!({"command": "session_end_all", "server": on, "direction": null})),
        command(true, json!({"command": "folder", "server": on, "folder": "badmail", "verb": "delete", "names": none})),
        command(false, json!({"command": "operator_add", "name": "x", "role": "auditor", "scope": all})),
        command(
            false,
            json!({"command": "operator_set", "name": "root", "role": null, "scope": null, "disabled": null}),
        ),
        command(false, json!({"command": "operator_remove", "name": "root"})),
        command(false, json!({"command": "operator_invite", "name": "root"})),
        command(false, json!({"command": "operator_log_out", "name": "root"})),
        command(false, json!({"command": "token_new", "name": "x", "role": "auditor", "scope": all, "days": 1})),
        command(false, json!({"command": "token_revoke", "name": "x"})),
        command(false, json!({"command": "set", "server": on, "changes": none})),
        command(false, json!({"command": "set", "server": null, "changes": none})),
        command(false, json!({"command": "domain_add", "server": on, "new": {"name": "a.test", "kind": "remote"}})),
        command(false, json!({"command": "domain_set", "server": on, "domain": "a.test", "changes": none})),
        command(false, json!({"command": "domain_rename", "server": on, "domain": "a.test", "name": "b.test"})),
        command(false, json!({"command": "domain_remove", "server": on, "domain": "a.test"})),
        command(false, json!({"command": "smart_host_set", "smart_host": "x", "changes": none})),
        command(false, json!({"command": "smart_host_remove", "smart_host": "x"})),
        command(true, json!({"command": "queue", "server": on, "verb": "hold", "which": which})),
        command(true, json!({"command": "destination_suspend", "server": on, "destination": "x"})),
        command(true, json!({"command": "destination_resume", "server": on, "destination": "x"})),
        command(true, json!({"command": "destination_retry", "server": on, "destination": "x"})),
        command(false, json!({"command": "config_rollback", "version": 1})),
        command(false, json!({"command": "config_reload"})),
    ]
}

fn tried(visitor: &Visitor, command: &Value) -> u16 {
    visitor.post("/api/v1/commands?dry_run=true").json(command).send().status
}

#[test]
fn each_command_is_for_those_who_may() {
    let site = Site::new();
    let (_relay, root) = opened(&site);
    for role in ["administrator", "operator", "help_desk", "auditor"] {
        for (where_, scope) in
            [("all", json!("all")), ("here", json!({"servers": ["Test"]})), ("there", json!({"servers": ["Other"]}))]
        {
            let name = format!("{role}-{where_}");
            let visitor = admitted(&root, &name, role, &scope);
            let bearer = format!("Bearer {}", token(&root, &name, role, &scope));
            for (server, operation, command) in commands() {
                let in_role = role == "administrator" || (role == "operator" && operation);
                let in_scope = where_ == "all" || (where_ == "here" && !server.is_empty());
                let status = tried(&visitor, &command);
                assert_eq!(status != 403, in_role && in_scope, "{name}: {status} {command}");
                let program =
                    Ask::new(root.at, "POST", "/api/v1/commands?dry_run=true").field("authorization", &bearer);
                let status = program.json(&command).send().status;
                assert_eq!(status != 403, in_role && in_scope, "token of {name}: {status} {command}");
            }
        }
    }
}

#[test]
fn each_view_is_for_those_who_may() {
    let site = Site::new();
    let (_relay, root) = opened(&site);
    // The view, and who sees it: administrator, operator, help desk, auditor.
    let views = [
        ("/api/v1/service", [true, true, true, true]),
        ("/api/v1/servers/Test", [true, true, true, true]),
        ("/api/v1/servers/Test/queue", [true, true, true, true]),
        ("/api/v1/servers/Test/destinations", [true, true, true, true]),
        ("/api/v1/servers/Test/settings/messages.size_max", [true, true, false, true]),
        ("/api/v1/config/versions", [true, true, false, true]),
        ("/api/v1/config/diff", [true, true, false, true]),
        ("/api/v1/audit", [true, false, false, true]),
        ("/api/v1/operators", [true, false, false, true]),
        ("/api/v1/tokens", [true, false, false, true]),
    ];
    for (at, role) in ["administrator", "operator", "help_desk", "auditor"].into_iter().enumerate() {
        let visitor = admitted(&root, role.strip_prefix("administrat").map_or(role, |_| "second"), role, &json!("all"));
        let elsewhere = admitted(&root, &format!("{role}-there"), role, &json!({"servers": ["Other"]}));
        for (view, seen) in views {
            let status = visitor.get(view).send().status;
            assert_eq!(status, if seen[at] { 200 } else { 403 }, "{role} {view}");
            let status = elsewhere.get(view).send().status;
            let own = view == "/api/v1/service";
            assert_eq!(status, if own { 200 } else { 403 }, "{role} of another virtual server: {view}");
        }
        assert_eq!(elsewhere.get("/api/v1/servers").send().json(), json!([]), "the others are not told of");
    }
}
