//! What was begun is done to the end and written down, whoever hangs up meanwhile.

use super::*;
use crate::auth::Passwords;
use crate::log::Log;
use relay::admin::{Change, Role, Scope};
use std::time::Duration;

pub(super) fn control(folder: &Path) -> (Control, Orders) {
    let clock = Clock::starting_at(Timestamp(1_800_000_000_000));
    let operators = Operators::open(folder, Passwords::new(1), Log::nowhere(), clock.clone());
    Control::new(&ConfigFile::new(&folder.join("mailroot.toml")), folder, &clock, operators)
}

fn root() -> Operator {
    Operator { name: "unix:root".into(), role: Role::Administrator, scope: Scope::All }
}

/// Waits until the audit log has a record of that text.
async fn recorded(control: &Control, text: &str) -> AuditRecord {
    let filter = AuditFilter { text: Some(text.into()), ..AuditFilter::default() };
    loop {
        if let Some(record) = control.audit(&root(), &filter, None, 1).await.unwrap().items.pop() {
            return record;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn who_hangs_up_leaves_a_record_of_what_he_began() {
    let folder = tempfile::tempdir().unwrap();
    let (control, mut orders) = control(folder.path());
    let (asking, root) = (control.clone(), root());
    let client = tokio::spawn(async move { asking.execute(&root, "socket", Command::ConfigReload, false).await });
    let Some(Order::Change { answer, .. }) = orders.recv().await else { panic!("no change") };
    client.abort();
    assert!(client.await.unwrap_err().is_cancelled());
    answer.send(Ok(Outcome { text: "read again".into(), count: 1, ..Outcome::default() })).unwrap();
    let record = tokio::time::timeout(Duration::from_secs(30), recorded(&control, "config_reload")).await.unwrap();
    assert_eq!((&*record.outcome, &*record.who), ("done", "unix:root"));
}

#[tokio::test]
async fn a_secret_where_none_belongs_is_in_no_record() {
    let folder = tempfile::tempdir().unwrap();
    let (control, mut orders) = control(folder.path());
    let changes = vec![Change { setting: "auth.password".into(), value: Some("\"hunter2\"".into()) }];
    let command = Command::SmartHostSet { smart_host: "office".into(), changes };
    let client = tokio::spawn(async move { control.execute(&root(), "socket", command, false).await });
    let Some(Order::Change { answer, .. }) = orders.recv().await else { panic!("no change") };
    let diff = "--- before\n+++ after\n-password = \"hunter2\"\n+auth.password = \"hunter2\"\n".into();
    answer.send(Ok(Outcome { text: "set".into(), diff, ..Outcome::default() })).unwrap();
    client.await.unwrap().unwrap();
    let log = std::fs::read_to_string(folder.path().join("audit.log")).unwrap();
    assert!(log.contains("auth.password") && log.contains("smart_host_set") && !log.contains("hunter2"), "{log}");
}

#[tokio::test]
async fn a_new_password_is_recorded_though_nobody_waits_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let (control, _orders) = control(folder.path());
    let add = Command::OperatorAdd { name: "bert".into(), role: Role::Operator, scope: Scope::All };
    control.execute(&root(), "socket", add, false).await.unwrap();
    let (asking, root) = (control.clone(), root());
    let mut set = Box::pin(async move {
        let new = smtp::sasl::Secret::new(b"correct horse battery".to_vec());
        asking.set_password(&root, "socket", "bert", None, new).await
    });
    // Begun, and dropped as it waits.
    assert!(std::future::poll_fn(|context| std::task::Poll::Ready(set.as_mut().poll(context))).await.is_pending());
    drop(set);
    let record = tokio::time::timeout(Duration::from_secs(60), recorded(&control, "password of bert")).await.unwrap();
    assert_eq!(&*record.outcome, "done");
}
