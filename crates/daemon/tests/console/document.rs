//! The API against its own description: each operation is asked, and each answer is what the document says.

use super::opened;
use crate::harness::Site;
use crate::harness::console::{Answer, Ask};
use serde_json::{Value, json};

/// Faults of `value` against `schema`, where in the value they are.
fn faults(document: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
        let target = document.pointer(name.trim_start_matches('#')).unwrap_or_else(|| panic!("no {name}"));
        return faults(document, target, value, at, found);
    }
    for (word, all) in [("oneOf", false), ("anyOf", false), ("allOf", true)] {
        let Some(ways) = schema.get(word).and_then(Value::as_array) else { continue };
        let tries: Vec<Vec<String>> = ways
            .iter()
            .map(|way| {
                let mut found = Vec::new();
                faults(document, way, value, at, &mut found);
                found
            })
            .collect();
        if all {
            found.extend(tries.into_iter().flatten());
        } else if !tries.iter().any(Vec::is_empty) {
            found.push(format!("{at}: {value} is none of {word}"));
        }
    }
    let types: Vec<&str> = match schema.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let is = |kind: &&str| match *kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("type {other}"),
    };
    if !types.is_empty() && !types.iter().any(is) {
        found.push(format!("{at}: {value} is no {types:?}"));
    }
    if let Some(words) = schema.get("enum").and_then(Value::as_array).filter(|words| !words.contains(value)) {
        found.push(format!("{at}: {value} is none of {words:?}"));
    }
    if let (Some(item), Some(values)) = (schema.get("items"), value.as_array()) {
        values.iter().enumerate().for_each(|(n, value)| faults(document, item, value, &format!("{at}/{n}"), found));
    }
    let Some(fields) = value.as_object() else { return };
    for name in schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
        if !fields.contains_key(name) {
            found.push(format!("{at}: {name} is missing"));
        }
    }
    let Some(known) = schema.get("properties").and_then(Value::as_object) else { return };
    for (name, value) in fields {
        match known.get(name) {
            Some(schema) => faults(document, schema, value, &format!("{at}/{name}"), found),
            None => found.push(format!("{at}: {name} is not in the document")),
        }
    }
}

/// The answer is one that the document lists for this operation.
fn check(document: &Value, operation: &Value, answer: &Answer, how: &str) {
    let listed = &operation["responses"];
    let exact = listed.get(answer.status.to_string());
    let range = listed.get(format!("{}XX", answer.status / 100));
    let response =
        exact.or(range).unwrap_or_else(|| panic!("{how}: {} is not in the document: {answer:?}", answer.status));
    let kind = answer.field("content-type").unwrap_or("");
    if answer.status >= 400 {
        assert_eq!(kind, "application/problem+json", "{how}: {answer:?}");
        let problem = answer.json();
        assert_eq!(problem["status"], answer.status, "{how}: {problem}");
        for name in ["type", "title", "detail"] {
            assert!(problem[name].as_str().is_some_and(|text| !text.is_empty()), "{how}: {problem}");
        }
    }
    let kind = kind.split(';').next().unwrap_or("").replace('/', "~1");
    assert!(
        response.pointer(&format!("/content/{kind}")).is_some(),
        "{how}: {kind} is not in the document: {response}"
    );
    if !kind.ends_with("json") {
        return;
    }
    let Some(schema) = response.pointer(&format!("/content/{kind}/schema")) else { panic!("{how}: {response}") };
    let mut found = Vec::new();
    faults(document, schema, &answer.json(), "", &mut found);
    assert!(found.is_empty(), "{how}: {found:#?}\n{}", answer.body);
}

/// A path with its parameters filled in by `value`.
fn filled(path: &str, value: impl Fn(&str) -> String) -> String {
    path.split('/')
        .map(|part| match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            Some(name) => value(name),
            None => part.to_owned(),
        })
        .collect::<Vec<_>>()
        .join("/")
}

fn usual(name: &str) -> String {
    match name {
        "server" => "Test",
        "setting" => "messages.size_max",
        "folder" => "drop",
        "id" => "0000000000000001",
        "n" | "version" => "1",
        _ => "administrator",
    }
    .into()
}

#[test]
fn every_operation_answers_as_the_document_says() {
    let site = Site::new();
    let (_relay, root) = opened(&site);
    let document = root.get("/api/v1/openapi.json").send().json();
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() > 12, "{paths:?}");
    let bad_paths = [
        ("nobody's", "nothing-of-this-name".to_owned()),
        ("long", "x".repeat(5_000)),
        ("no text", "%FF%FE".to_owned()),
        ("a way out", "..%2F..%2F..%2Fetc%2Fpasswd".to_owned()),
        ("hostile", "%3Cscript%3E%00%0D%0AX:%20y".to_owned()),
    ];
    let bodies =
        ["", "{", "[]", "null", "\"x\"", "{\"command\":\"nothing\"}", "{\"command\":7}", "{\"x\":{\"y\":[1,2,3]}}"];
    for (path, operations) in paths {
        let operations = operations.as_object().unwrap();
        for (method, operation) in operations {
            let method = method.to_uppercase();
            let ask = |path: &str| {
                Ask::new(root.at, &method, path).field("cookie", &root.cookie).field("x-csrf-token", &root.csrf)
            };
            if method == "GET" {
                let good = ask(&filled(path, usual)).send();
                check(&document, operation, &good, &format!("GET {path}"));
            }
            if path.contains('{') {
                for (kind, text) in &bad_paths {
                    let answer = ask(&filled(path, |_| text.clone())).send();
                    check(&document, operation, &answer, &format!("{method} {path}, {kind}"));
                    // What is not written, or not there, may be nothing.
                    let nothing = matches!(&*answer.body, "null" | "[]");
                    assert!(answer.status != 200 || nothing, "{method} {path}, {kind}: {}", answer.body);
                }
            }
            for query in operation["parameters"].as_array().into_iter().flatten().filter(|one| one["in"] == "query") {
                let name = query["name"].as_str().unwrap();
                for value in ["", "-1", "x", "99999999999999999999999", "%00%FF", "true"] {
                    let answer = ask(&format!("{}?{name}={value}", filled(path, usual))).send();
                    check(&document, operation, &answer, &format!("{method} {path}?{name}={value}"));
                }
            }
            if operation.pointer("/requestBody/content/application~1json").is_some() {
                for body in bodies {
                    let answer = ask(&filled(path, usual)).body("application/json", body).send();
                    check(&document, operation, &answer, &format!("{method} {path} with {body}"));
                    assert!((400..500).contains(&answer.status), "{method} {path} with {body}: {answer:?}");
                }
                let answer = ask(&filled(path, usual)).body("text/plain", "{}").send();
                assert!((400..500).contains(&answer.status), "{answer:?}");
            }
        }
        for method in ["DELETE", "PATCH", "POST", "PUT", "TRACE", "BREW"] {
            if operations.contains_key(&method.to_lowercase()) {
                continue;
            }
            let ask = Ask::new(root.at, method, &filled(path, usual)).field("cookie", &root.cookie);
            let answer = ask.field("x-csrf-token", &root.csrf).send();
            assert_eq!(answer.status, 405, "{method} {path}: {answer:?}");
            assert_eq!(answer.json()["status"], 405, "{answer:?}");
            assert!(answer.field("allow").is_some(), "{answer:?}");
        }
    }
    let unknown =
        root.post("/api/v1/commands").json(&json!({"command": "config_rollback", "version": 1, "more": 1})).send();
    assert_eq!(unknown.status, 422, "a field that nobody knows: {unknown:?}");
}

/// What cannot be done now is an answer that the document knows of as well.
#[test]
fn what_a_stopped_virtual_server_answers_is_in_the_document() {
    let site = Site::new();
    let (_relay, root) = opened(&site);
    let document = root.get("/api/v1/openapi.json").send().json();
    let paths = document["paths"].as_object().unwrap();
    let stop = json!({"command": "server_state", "server": "Test", "verb": "stop"});
    assert_eq!(root.command(&stop).status, 200);
    let mut unavailable = Vec::new();
    for (path, operations) in paths {
        for (method, operation) in operations.as_object().unwrap() {
            let method = method.to_uppercase();
            if method == "PUT" || path.ends_with("/commands") {
                continue;
            }
            let ask = Ask::new(root.at, &method, &filled(path, usual)).field("cookie", &root.cookie);
            let answer = ask.field("x-csrf-token", &root.csrf).body("application/x-tar", "").send();
            check(&document, operation, &answer, &format!("{method} {path} while it is stopped"));
            if answer.status >= 500 {
                unavailable.push(path);
            }
        }
    }
    assert!(unavailable.iter().any(|path| path.ends_with("/queue-import")), "{unavailable:?}");
}
