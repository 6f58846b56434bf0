//! Every command, every parameter, and every way to get them wrong.

use super::*;

fn parse(line: &str) -> Result<Command, CommandError> {
    Command::parse(line.as_bytes(), &Domain::parse("contoso.test").unwrap())
}

/// The line is read and printed as `printed`, which reads back as the same value.
fn check(line: &str, printed: &str) {
    let command = parse(line).unwrap_or_else(|error| panic!("{line}: {error:?}"));
    assert_eq!(command.to_string(), printed, "{line}");
    assert_eq!(parse(printed), Ok(command), "{line}");
}

#[test]
fn commands_print_and_read_back() {
    check("ehlo client.test", "EHLO client.test");
    check("HELO  [192.0.2.1]", "HELO [192.0.2.1]");
    check("HELO my printer", "HELO my");
    check("data", "DATA");
    check("BDAT 10", "BDAT 10");
    check("bdat 18446744073709551615  last", "BDAT 18446744073709551615 LAST");
    check("Rset ", "RSET");
    check("NOOP whatever it is", "NOOP");
    check("starttls", "STARTTLS");
    check("QUIT", "QUIT");
    check("VRFY  smith", "VRFY smith");
    check("HELP me", "HELP");
    check("xexch50 1 2", "XEXCH50");
    check("", "");
    check(" NOOP", "");
}

#[test]
fn senders_are_read() {
    check("MAIL FROM:<a@b.test>", "MAIL FROM:<a@b.test>");
    check("mail from: <A@B.TEST>", "MAIL FROM:<A@b.test>");
    check("MAIL FROM:a@b.test SIZE=5", "MAIL FROM:<a@b.test> SIZE=5");
    check("MAIL FROM:<>", "MAIL FROM:<>");
    check("MAIL  FROM:<boss>", "MAIL FROM:<boss@contoso.test>");
    check("MAIL FROM:<@x.test,@y.test:a@b.test>", "MAIL FROM:<a@b.test>");
    check(r#"MAIL FROM:<"a>b"@c.test>"#, r#"MAIL FROM:<"a>b"@c.test>"#);
    check(r#"MAIL FROM:<"a\"> "@c.test>"#, r#"MAIL FROM:<"a\"> "@c.test>"#);
    check(r#"MAIL FROM:"a b"@c.test"#, r#"MAIL FROM:<"a b"@c.test>"#);
    check("MAIL FROM:<küche@b.test> SMTPUTF8", "MAIL FROM:<küche@b.test> SMTPUTF8");
}

#[test]
fn parameters_of_mail_are_read() {
    check("MAIL FROM:<a@b.test> BODY=7bit size=0", "MAIL FROM:<a@b.test> SIZE=0");
    check("MAIL FROM:<> BODY=8BITMIME  RET=hdrs ENVID=a+2Bb", "MAIL FROM:<> BODY=8BITMIME RET=HDRS ENVID=a+2Bb");
    check("MAIL FROM:<> BODY=BINARYMIME RET=FULL", "MAIL FROM:<> BODY=BINARYMIME RET=FULL");
    check("MAIL FROM:<> SIZE=18446744073709551617", "MAIL FROM:<> SIZE=18446744073709551615");
    check("MAIL FROM:<> SIZE=1000000000000000000000000000000", "MAIL FROM:<> SIZE=18446744073709551615");
    let envid = format!("MAIL FROM:<> ENVID={}", "x".repeat(ENVID_MAX));
    check(&envid, &envid);
    assert_eq!(parse(&format!("{envid}x")), Err(CommandError::Parameter("ENVID")));
    for (wrong, name) in [
        ("SIZE", "SIZE"),
        ("SIZE=", "SIZE"),
        ("SIZE=-1", "SIZE"),
        ("SIZE=abc", "SIZE"),
        ("SIZE=+1", "SIZE"),
        ("SIZE=1k", "SIZE"),
        ("BODY=", "BODY"),
        ("BODY=9BIT", "BODY"),
        ("RET=ALL", "RET"),
        ("RET", "RET"),
        ("ENVID=", "ENVID"),
        ("ENVID=a+0D+0AX:y", "ENVID"),
        ("ENVID=+4", "ENVID"),
        ("ENVID=a=b", "ENVID"),
        ("SMTPUTF8=1", "SMTPUTF8"),
        ("AUTH", "AUTH"),
        ("AUTH=", "AUTH"),
        ("AUTH=a@@b", "AUTH"),
        ("AUTH=+ff", "AUTH"),
        ("AUTH=<a@b.test", "AUTH"),
    ] {
        assert_eq!(parse(&format!("MAIL FROM:<> {wrong}")), Err(CommandError::Parameter(name)), "{wrong}");
    }
    for twice in
        ["SIZE=1 SIZE=1", "BODY=7BIT BODY=8BITMIME", "SMTPUTF8 SMTPUTF8", "RET=FULL RET=FULL", "AUTH=<> AUTH=<>"]
    {
        assert!(matches!(parse(&format!("MAIL FROM:<> {twice}")), Err(CommandError::ParameterTwice(_))), "{twice}");
    }
    for unknown in ["X", "=", "=5", "NOTIFY=NEVER", "BY=1;R", "é=1"] {
        assert_eq!(parse(&format!("MAIL FROM:<> {unknown}")), Err(CommandError::ParameterUnknown), "{unknown}");
    }
}

/// What AUTH= says is checked, and forgotten.
#[test]
fn the_submitter_is_not_believed() {
    for value in ["<>", "a@b.test", "<a@b.test>", "e+3Dmc2@example.com", "bob", &format!("{}@b.test", "x".repeat(60))] {
        check(&format!("MAIL FROM:<a@b.test> AUTH={value}"), "MAIL FROM:<a@b.test>");
    }
    let long = format!("a@{}", "x.".repeat(SUBMITTER_MAX));
    assert_eq!(parse(&format!("MAIL FROM:<> AUTH={long}")), Err(CommandError::Parameter("AUTH")));
}

#[test]
fn a_response_to_auth_is_not_printed() {
    for (line, printed) in [
        ("auth plain aHVudGVyMg==", "AUTH PLAIN"),
        ("AUTH  LOGIN ", "AUTH LOGIN"),
        ("AUTH SCRAM-SHA-256 =", "AUTH SCRAM-SHA-256"),
        ("AUTH FOO aHVudGVyMg==", "AUTH ?"),
    ] {
        let command = parse(line).unwrap();
        assert_eq!(command.to_string(), printed);
        assert!(!format!("{command:?}").contains("aHVu"), "{command:?}");
        assert_eq!(parse(line), Ok(command));
    }
    assert_ne!(parse("AUTH PLAIN a"), parse("AUTH PLAIN b"));
    assert_ne!(parse("AUTH PLAIN a"), parse("AUTH PLAIN"));
    for wrong in ["AUTH", "AUTH PLAIN a b"] {
        assert_eq!(parse(wrong), Err(CommandError::AuthSyntax));
    }
}

/// What an extension brings is not known where the extension is not offered.
#[test]
fn parameters_come_with_their_extension() {
    let all = Extensions::everything();
    let default = Domain::parse("contoso.test").unwrap();
    let mail = |parameter: &str| format!("MAIL FROM:<a@b.test> {parameter}");
    for (line, without) in [
        (mail("SIZE=1"), Extensions { size: None, ..all }),
        (mail("BODY=8BITMIME"), Extensions { eight_bit: false, ..all }),
        (mail("BODY=7BIT"), Extensions { eight_bit: false, binary: false, ..all }),
        (mail("BODY=BINARYMIME"), Extensions { binary: false, ..all }),
        (mail("SMTPUTF8"), Extensions { utf8: false, ..all }),
        (mail("RET=FULL"), Extensions { dsn: false, ..all }),
        (mail("ENVID=x"), Extensions { dsn: false, ..all }),
        (mail("AUTH=<>"), Extensions { auth: false, ..all }),
        (mail("REQUIRETLS"), Extensions { require_tls: false, ..all }),
        ("RCPT TO:<a@b.test> NOTIFY=NEVER".to_owned(), Extensions { dsn: false, ..all }),
        ("RCPT TO:<a@b.test> ORCPT=rfc822;x".to_owned(), Extensions { dsn: false, ..all }),
    ] {
        let parse = |offered| Command::parse_offered(line.as_bytes(), &default, offered);
        assert!(parse(&all).is_ok(), "{line}");
        assert_eq!(parse(&without), Err(CommandError::ParameterUnknown), "{line}");
    }
}

#[test]
fn parameters_of_rcpt_are_read() {
    check("RCPT TO:<a@b.test> NOTIFY=never", "RCPT TO:<a@b.test> NOTIFY=NEVER");
    check("RCPT TO:<a@b.test> NOTIFY=DELAY,success", "RCPT TO:<a@b.test> NOTIFY=SUCCESS,DELAY");
    check("rcpt to: a@b.test ORCPT=rfc822;a+2Bx@b.test", "RCPT TO:<a@b.test> ORCPT=rfc822;a+2Bx@b.test");
    check("RCPT TO:<Postmaster>", "RCPT TO:<Postmaster@contoso.test>");
    check("RCPT TO:<küche@bücher.test> ORCPT=utf-8;küche@b", "RCPT TO:<küche@bücher.test> ORCPT=utf-8;küche@b");
    let orcpt = format!("RCPT TO:<a@b.test> ORCPT=rfc822;{}", "x".repeat(ORCPT_MAX - 7));
    check(&orcpt, &orcpt);
    assert_eq!(parse(&format!("{orcpt}x")), Err(CommandError::Parameter("ORCPT")));
    for (wrong, name) in [
        ("NOTIFY=", "NOTIFY"),
        ("NOTIFY", "NOTIFY"),
        ("NOTIFY=NEVER,SUCCESS", "NOTIFY"),
        ("NOTIFY=SUCCESS,", "NOTIFY"),
        ("NOTIFY=LATER", "NOTIFY"),
        ("ORCPT=", "ORCPT"),
        ("ORCPT=rfc822", "ORCPT"),
        ("ORCPT=;a", "ORCPT"),
        ("ORCPT=rfc822;", "ORCPT"),
        ("ORCPT=rfc822;a+0D+0AX:y", "ORCPT"),
        ("ORCPT=rfc822;a+00", "ORCPT"),
        ("ORCPT=rfc822;a+4", "ORCPT"),
        ("ORCPT=rfc822;küche", "ORCPT"),
        ("ORCPT=a b;c", "ORCPT"),
        ("ORCPT=r_f;c", "ORCPT"),
    ] {
        assert_eq!(parse(&format!("RCPT TO:<a@b.test> {wrong}")), Err(CommandError::Parameter(name)), "{wrong}");
    }
    let twice = "RCPT TO:<a@b.test> NOTIFY=NEVER NOTIFY=NEVER";
    assert_eq!(parse(twice), Err(CommandError::ParameterTwice("NOTIFY")));
    assert_eq!(parse("RCPT TO:<a@b.test> SIZE=1"), Err(CommandError::ParameterUnknown));
    assert_eq!(parse("RCPT TO:a@b.test c@d.test"), Err(CommandError::ParameterUnknown));
}

#[test]
fn what_is_no_path_is_refused() {
    for bad in [
        "MAIL",
        "MAIL FROM",
        "MAIL FROM:",
        "MAIL FROM: ",
        "MAIL FROM <a@b.test>",
        "MAIL FROM:<a@b.test",
        "MAIL FROM:a@b.test>",
        "MAIL FROM:Bob <a@b.test>x",
        "MAIL FROM:<a@b.test>SIZE=1",
        "MAIL FROM:<<a@b.test>>",
        "MAIL FROM:<\"a@b.test>",
        "MAIL TO:<a@b.test>",
        "MAIL é",
        "MAIL FROMé<a@b.test>",
    ] {
        assert_eq!(parse(bad), Err(CommandError::MailSyntax), "{bad}");
    }
    assert_eq!(parse("MAIL FROM:< >"), Err(CommandError::Sender(AddressError::LocalPart)));
    assert_eq!(parse("MAIL FROM:<a@b.test> <c@d.test>"), Err(CommandError::ParameterUnknown));
    assert_eq!(parse("RCPT TO:<>"), Err(CommandError::Recipient(AddressError::Empty)));
    assert_eq!(parse("RCPT TO:<a@b@c.test>"), Err(CommandError::Recipient(AddressError::Domain)));
    assert_eq!(parse("RCPT FROM:<a@b.test>"), Err(CommandError::RcptSyntax));
    assert_eq!(parse("RCPT TO:<a@b.test>,<c@d.test>"), Err(CommandError::RcptSyntax));
    let route = format!("RCPT TO:<{}:a@b.test>", vec!["@x.test"; 200].join(","));
    assert_eq!(parse(&route), Err(CommandError::Recipient(AddressError::TooLong)));
}

#[test]
fn octets_that_may_not_stand_in_a_command() {
    let parse = |line: &[u8]| Command::parse(line, &Domain::parse("contoso.test").unwrap());
    for bad in [b"NOOP\0".as_slice(), b"NOOP\rRSET", b"NO\tOP", b"RCPT TO:<a\0@b.test>", b"NOOP \x7f", b"NOOP\nRSET"] {
        assert_eq!(parse(bad), Err(CommandError::Control), "{bad:?}");
    }
    for bad in [b"NOOP \xff".as_slice(), b"RCPT TO:<\xff@b.test>", "EHLO bücher".as_bytes(), "nööp".as_bytes()] {
        assert_eq!(parse(bad), Err(CommandError::EightBit), "{bad:?}");
    }
    assert_eq!(parse("MAIL FROM:<küche@b.test>".as_bytes()), Err(CommandError::NeedsUtf8));
    assert_eq!(parse("MAIL FROM:<a@bücher.test>".as_bytes()), Err(CommandError::NeedsUtf8));
    let Ok(Command::Rcpt(rcpt)) = parse("RCPT TO:<küche@b.test>".as_bytes()) else { panic!() };
    assert!(rcpt.needs_utf8());
    let Ok(Command::Rcpt(rcpt)) = parse("RCPT TO:<a@b.test> ORCPT=utf-8;é@b".as_bytes()) else { panic!() };
    assert!(rcpt.needs_utf8());
}

#[test]
fn arguments_where_none_belong_and_none_where_one_must() {
    for line in ["DATA now", "RSET x", "QUIT please"] {
        assert_eq!(parse(line), Err(CommandError::Argument), "{line}");
    }
    assert_eq!(parse("EHLO"), Err(CommandError::Hello));
    assert_eq!(parse(&format!("EHLO {}", "a".repeat(HELLO_MAX + 1))), Err(CommandError::Hello));
    assert_eq!(parse("VRFY "), Err(CommandError::VrfySyntax));
    for line in ["BDAT", "BDAT -1", "BDAT abc", "BDAT 18446744073709551617", "BDAT 5 LATE", "BDAT 5 LAST x", "BDAT +5"]
    {
        assert_eq!(parse(line), Err(CommandError::Chunk), "{line}");
    }
}

#[test]
fn every_error_has_a_reply_that_refuses() {
    for error in [
        CommandError::Control,
        CommandError::EightBit,
        CommandError::Hello,
        CommandError::Argument,
        CommandError::MailSyntax,
        CommandError::RcptSyntax,
        CommandError::VrfySyntax,
        CommandError::Sender(AddressError::Empty),
        CommandError::Recipient(AddressError::Domain),
        CommandError::NeedsUtf8,
        CommandError::ParameterUnknown,
        CommandError::ParameterTwice("SIZE"),
        CommandError::Parameter("ORCPT"),
        CommandError::Chunk,
    ] {
        let reply = error.reply();
        assert!(reply.is_permanent() && reply.status.is_some(), "{reply}");
    }
}
