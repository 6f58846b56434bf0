//! Views for tests, as a small site has them, and strangers' texts that want to be more than text.

use crate::layout::{Frame, Place};
use relay::admin::view::{
    Alarm, AttemptView, ContentView, CounterView, DestinationView, DialogueLine, DialogueView, FileView, HeaderLine,
    MessageSummary, MessageView, RecipientView, SeriesLine, SeriesView, ServerState, ServerView, SessionView,
};
use relay::admin::{Direction, Operator, Role, Scope};

/// What a stranger would like a page to run.
pub const HOSTILE: &str =
    "\"><img src=x onerror=alert(1)><script>alert(2)</script>'{{7*7}}</textarea><svg/onload=alert(3)>";

pub fn operator(role: Role) -> Operator {
    Operator { name: "anna".into(), role, scope: Scope::All }
}

pub fn server(name: &str, state: ServerState) -> ServerView {
    ServerView {
        name: name.into(),
        state,
        trouble: Vec::new(),
        listen: if state == ServerState::Running {
            vec!["192.0.2.10:25".into(), "[::1]:25".into()]
        } else {
            Vec::new()
        },
        home: "/var/lib/mailroot/one".into(),
        fqdn: "relay.corp.example".into(),
        sessions_in: 12,
        sessions_out: 3,
        queue: Some(4_212),
        destinations: 17,
    }
}

pub fn frame(role: Role, place: Place) -> Frame {
    let mut failed = server("Partner link", ServerState::Failed);
    failed.trouble.push("192.0.2.12:25 cannot be bound: another program listens there".into());
    Frame {
        title: "Overview".into(),
        operator: operator(role),
        csrf: "c5rf".into(),
        servers: vec![
            server("Default SMTP Virtual Server", ServerState::Running),
            server("Devices", ServerState::Paused),
            failed,
        ],
        place,
        alarms: 2,
        flash: None,
    }
}

pub fn series() -> SeriesView {
    let wave = |high: u64, step: u64| (0..360u64).map(|at| high / 2 + at * step % high / 2).collect::<Vec<_>>();
    let line = |name: &str, values| SeriesLine { name: name.into(), label: name.into(), values };
    SeriesView {
        at: (0..360).map(|at| 1_795_834_800 + at * 10).collect(),
        lines: vec![
            line("messages_in", wave(240, 7)),
            line("messages_out", wave(200, 11)),
            line("queue", wave(4_300, 5)),
            line("connections_in", wave(40, 3)),
            line("connections_out", wave(18, 13)),
            line("refusals", wave(9, 2)),
        ],
    }
}

pub fn alarms() -> Vec<Alarm> {
    let alarm = |kind: &str, urgent, text: &str, advice: &str| Alarm {
        server: Some("Default SMTP Virtual Server".into()),
        kind: kind.into(),
        urgent,
        text: text.into(),
        advice: advice.into(),
        since: Some("2026-11-28T02:07:59.000Z".into()),
    };
    vec![
        alarm(
            "destination",
            true,
            "example.net has not taken any mail for 3 hours: 421 4.7.0 too many connections.",
            "Lower `pacing.connections_max` for this domain, or ask its postmaster.",
        ),
        alarm(
            "certificate",
            false,
            "The certificate of relay.corp.example ends in 9 days.",
            "Renew it, and put the new files in place of the old ones; they are read again by themselves.",
        ),
    ]
}

pub fn sessions(hostile: &str) -> Vec<SessionView> {
    let session = |id: u64, direction, user: &str, peer: &str, state: &str| SessionView {
        id: id.to_string(),
        direction,
        user: user.into(),
        peer: peer.into(),
        local: "192.0.2.10:25".into(),
        since: "2026-11-28T02:07:59.000Z".into(),
        seconds: id * 37,
        state: state.into(),
        messages: id * 3,
        octets: id * 48_000,
        tls: (!id.is_multiple_of(3)).then(|| "TLSv1.3 TLS_AES_128_GCM_SHA256".into()),
        destination: (direction == Direction::Outbound).then(|| "example.com".into()),
    };
    vec![
        session(4, Direction::Inbound, "printer-3", "192.0.2.77:51514", "DATA"),
        session(17, Direction::Inbound, "[app01.corp.example]", "192.0.2.31:40122", "idle"),
        session(21, Direction::Outbound, "relay@corp.example", "203.0.113.9:587", "sending"),
        session(44, Direction::Inbound, &format!("[{hostile}]"), "[2001:db8::77]:40001", "RCPT"),
    ]
}

pub fn dialogue(hostile: &str) -> DialogueView {
    let line = |ours, text: &str| DialogueLine { at: "2026-11-28T02:07:59.120Z".into(), ours, text: text.into() };
    DialogueView {
        session: sessions(hostile).remove(3),
        lines: vec![
            line(true, "220 relay.corp.example ESMTP"),
            line(false, &format!("EHLO {hostile}")),
            line(true, "250-relay.corp.example\n250-SIZE 2097152\n250 PIPELINING"),
            line(false, "AUTH PLAIN ***"),
            line(true, "235 2.7.0 Authentication succeeded"),
            line(false, "(1234 octets)"),
        ],
        forgotten: 12,
    }
}

pub fn destinations(hostile: &str) -> Vec<DestinationView> {
    let one = |name: &str, state: &str, messages, said: Option<&str>| DestinationView {
        name: name.into(),
        state: state.into(),
        messages,
        oldest_s: messages * 61,
        connections: u64::from(state == "active") * 4,
        last_answer: said.map(str::to_owned),
        next_try: (state == "waiting").then(|| "2026-11-28T03:22:59.000Z".into()),
        empty_at: (state == "active").then(|| "2026-11-28T03:15:00.000Z".into()),
    };
    vec![
        one("smart host office", "active", 3_104, None),
        one("example.net", "waiting", 871, Some("421 4.7.0 too many connections from your host; try again later")),
        one("example.org", "suspended", 212, Some("451 4.7.1 greylisted")),
        one("xn--exmple-cua.example", "paced", 24, None),
        one("stranger.example", "waiting", 1, Some(hostile)),
    ]
}

pub fn summary(id: u64, state: &str, hostile: &str) -> MessageSummary {
    MessageSummary {
        id: format!("{id:016x}"),
        sender: if id == 3 { String::new() } else { format!("app{id}@corp.example") },
        recipient: if id == 2 { format!("{hostile}@example.net") } else { format!("user{id}@example.net") },
        recipients: id,
        size: id * 7_312,
        arrived: "2026-11-28T02:07:59.000Z".into(),
        age_s: id * 1_733,
        destination: "example.net".into(),
        state: state.into(),
        tries: id % 5,
        next_try: (state == "waiting").then(|| "2026-11-28T03:22:59.000Z".into()),
        last_answer: (state == "waiting").then(|| format!("451 4.7.1 {hostile}")),
        subject: Some(hostile.to_owned()),
    }
}

pub fn message(hostile: &str) -> MessageView {
    let recipient = |address: &str, state: &str, why: Option<&str>| RecipientView {
        address: address.into(),
        state: state.into(),
        tries: 2,
        at: Some("2026-11-28T03:22:59.000Z".into()),
        destination: "example.net".into(),
        why: why.map(str::to_owned),
    };
    let attempt = |host: &str, said: &str| AttemptView {
        at: "2026-11-28T02:09:12.000Z".into(),
        host: host.into(),
        recipients: vec!["user2@example.net".into()],
        said: said.into(),
        channel: Some("TLSv1.3, verified by DANE".into()),
    };
    MessageView {
        summary: summary(2, "waiting", hostile),
        origin: format!("smtp 192.0.2.31 {hostile}"),
        account: Some("app01".into()),
        recipients: vec![
            recipient("user2@example.net", "queued", Some("421 4.7.0 too many connections")),
            recipient("someone@example.net", "delivered", None),
        ],
        attempts: vec![
            attempt("mx1.example.net [203.0.113.25]", "421 4.7.0 too many connections from your host"),
            attempt("mx2.example.net [203.0.113.26]", &format!("451 4.3.0 {hostile}")),
        ],
    }
}

pub fn content(hostile: &str) -> ContentView {
    let line = |name: &str, value: &str| HeaderLine { name: name.into(), value: value.into() };
    ContentView {
        name: "0000000000000002".into(),
        size: 14_624,
        headers: vec![
            line("Received", "from app01.corp.example (192.0.2.31) by relay.corp.example with ESMTPSA"),
            line("From", "Application <app2@corp.example>"),
            line("To", "user2@example.net"),
            line("Subject", hostile),
            line("Date", "Sat, 28 Nov 2026 02:07:58 +0000"),
        ],
        text: format!("Good morning,\n\nyour invoice is ready.\n\n{hostile}\n"),
        cut: true,
        attachments: vec!["invoice-2026-11.pdf".into(), format!("{hostile}.html")],
        why: Some(format!("This message could neither be delivered nor returned to its sender.\n{hostile}\n")),
    }
}

pub fn files(hostile: &str) -> Vec<FileView> {
    let file = |name: &str, subject: Option<&str>, why: Option<&str>| FileView {
        name: name.into(),
        size: 4_112,
        at: "2026-11-28T02:07:59.000Z".into(),
        sender: Some("app2@corp.example".into()),
        recipients: (0..5).map(|at| format!("user{at}@example.net")).collect(),
        subject: subject.map(str::to_owned),
        why: why.map(str::to_owned),
    };
    vec![
        file("00000000000000a1.eml", Some("Monthly figures"), Some("550 5.1.1 no such user; it is a report itself")),
        file("00000000000000a2.eml", Some(hostile), Some(hostile)),
        file(&format!("{}.eml", hostile.replace('/', "_")), None, None),
    ]
}

pub fn counters() -> Vec<CounterView> {
    let one = |name: &str, label: &str, help: &str, rises, value| CounterView {
        name: name.into(),
        label: label.into(),
        help: help.into(),
        rises,
        value,
    };
    vec![
        one(
            "mailroot_messages_received_total",
            "Messages Received Total",
            "Messages that were accepted.",
            true,
            812_331,
        ),
        one(
            "mailroot_messages_sent_total",
            "Messages Sent Total",
            "Messages that a next hop has taken.",
            true,
            808_004,
        ),
        one("mailroot_connections_in", "Inbound Connections Current", "Clients that are connected.", false, 12),
    ]
}
