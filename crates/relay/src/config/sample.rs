//! The configuration that `mailroot try` writes: complete, commented, safe, and a start for one's own.
//!
//! A line that begins with `#` and a letter or bracket is a setting switched off; taking the `#` away gives a file that still parses.

use super::Config;
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;

impl Config {
    /// A file for one virtual server with this home and these listeners, that relays for this machine and nobody else; `console`: where
    /// operators come in.
    #[must_use]
    pub fn sample(home: &Path, listen: &[SocketAddr], console: SocketAddr) -> String {
        let listen: Vec<_> = listen.iter().map(|address| quoted(&address.to_string())).collect();
        TEMPLATE
            .replace("@HOME@", &quoted(&home.to_string_lossy()))
            .replace("@CONSOLE@", &quoted(&console.to_string()))
            .replace("@LISTEN@", &format!("[{}]", listen.join(", ")))
    }
}

/// Any text as a string of TOML, which is one of JSON as well.
#[must_use]
pub fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

const TEMPLATE: &str = r##"# mailroot.toml
#
# `mailroot check --config FILE` says what is wrong with this file, and in words what it does.
# A line that begins with # and a key is a setting at its default, or an example: take the # away to use it.
# Every setting, with its range and the name it had in the old dialogs, is described in docs/settings.md.

#[dns]
#servers = ["127.0.0.1:53"]                    # default: the system's
#dnssec = "validate"                           # default: "off"; or "trust_ad"
#trust_anchor = "anchor.txt"                   # default: the root's

#[state]
#folder = "state"                              # the ACME account and the certificates obtained with it

# Pages for operators, and the API for programs. See docs/console.md.
[console]
listen = [@CONSOLE@]
#enabled = true
#names = ["console.example.com"]               # how a proxy in front of it is called; default: the names in the certificate
#certificate = { file = "tls/console.pem", key = "tls/console.key" }   # needed elsewhere than on loopback; or { pfx = …, password_file = … }
#session_idle = "30 min"
#session_max = "12 h"
#groups = { administrators = ["mailroot-admins"], operators = ["mailroot-operators"], help_desk = [], auditors = [] }

# Smart hosts, to be named by delivery.smart_host or by a domain's route: "smart_host:NAME". See docs/remote-domains.md.
#[[smart_host]]
#name = "microsoft"
#provider = "microsoft365"                     # or "google": fills in hosts, tls, pacing and what OAuth asks for
#auth = { method = "oauth", grant = "client_secret", user = "relay@contoso.com", tenant = "contoso.onmicrosoft.com", client_id = "4a0c…", client_secret = { file = "client-secret" } }
#sender = "relay@contoso.com"                  # default: each message's own

#[[smart_host]]
#name = "office"
#hosts = ["smtp.example.com:587", "smtp2.example.com:587"]   # tried in order
#tls = "verified"                              # "none", "opportunistic", "required" or "implicit" (port 465)
#auth = { method = "password", user = "relay", password = { file = "office.pass" } }   # or { env = … }, { credential = … }
#pacing = { connections_max = 5, messages_per_connection = 100, recipients_per_message = 50, messages_per_minute = 60, messages_per_day = 5000, recipients_per_day = 20000, slow_down = "5 min" }
#helo_only = false
#authority = "tls/office-ca.pem"               # default: the system's authorities
#certificate = { file = "tls/relay.pem", key = "tls/relay.key" }   # shown when it is asked for; or { pfx = …, password_file = … }
#bind = ["192.0.2.1", "2001:db8::1"]           # default: as the system chooses
#retry = ["5 min", "15 min"]                   # this and the three below: default those of the virtual server
#glitch_retry = { every = "30 s", times = 3 }
#delay_notice = "4 h"
#expiry = "1 day"

[[virtual_server]]
name = "Default SMTP Virtual Server"
home = @HOME@

  # The General tab
  [virtual_server.general]
  listen = @LISTEN@
  #connections_max = 1000                      # inbound, at a time; or "unlimited"
  #timeout = "10 min"                          # of silence
  #bare_newlines = "reject"                    # "normalize" for old devices that end lines with a bare LF
  #greeting_delay = "0 s"                      # who speaks before the greeting is sent away
  #errors_max = 20
  #refusals_max = 50

  # The Access tab: who may send to domains that are not ours
  [virtual_server.access]
  relay = { only = ["127.0.0.1", "::1"] }      # add your own networks: "10.0.0.0/8", names: "example.com"
  #connection = { all_except = [] }            # or { only = [...] }: who may connect at all
  #accounts = "accounts.toml"                  # see `mailroot account add`
  #reverse_dns = false
  # With a certificate, listeners offer TLS; docs/recipes shows whole configurations.
  #   listen = ["0.0.0.0:25", { address = "0.0.0.0:587", tls = "starttls_required", authentication_required = true }]
  #   certificate = { file = "tls/mx.pem", key = "tls/mx.key" }
  #   certificate = { pfx = "tls/mx.pfx", password_file = "tls/mx.pass" }
  #   certificate = { acme = ["mx.example.com"], agree_to_terms = true, contact = "hostmaster@example.com" }
  #   client_certificate = { authority = "tls/clients.pem" }

  [virtual_server.access.authentication]
  #anonymous = true                            # false: nobody sends without having authenticated
  #methods = []                                # ["PLAIN", "LOGIN", "SCRAM-SHA-256", …]
  #clear_text_from = []                        # networks where PLAIN and LOGIN need no TLS
  #lockout = { after = 5, for = "15 min" }

  [virtual_server.access.rate]
  #connections_per_address = "unlimited"       # or "60/min"
  #connections_per_network = "unlimited"
  #connections_at_once_per_address = 50
  #messages_per_address = "unlimited"
  #messages_per_network = "unlimited"
  #messages_per_account = "unlimited"

  # The Messages tab
  [virtual_server.messages]
  #size_max = "2 MB"
  #session_size_max = "10 MB"
  #messages_per_connection = 20                # outbound
  #recipients_max = 100
  #ndr_copy_to = "postmaster@example.com"      # default: nobody
  #badmail = "Badmail"                         # default: Badmail in the home folder
  # Helps for sloppy senders, all off: what mail without these fields gets for them on its way out.
  #add_from = "none"                           # "envelope": the envelope sender
  #default_from = "app@example.com"            # or always this one
  #add_date = false
  #add_message_id = false
  #rewrite_from = "app@example.com"            # replaces From; Reply-To keeps the old one

  # The Delivery tab
  [virtual_server.delivery]
  #fqdn = "relay.example.com"                  # default: the machine's name
  #retry = ["15 min", "30 min", "1 h", "4 h"]
  #glitch_retry = { every = "60 s", times = 3 }
  #delay_notice = "12 h"
  #expiry = "2 days"
  #local_delay_notice = "12 h"
  #local_expiry = "2 days"
  #connections_max = 1000
  #connections_per_domain_max = 100
  #timeout = "10 min"
  #port = 25
  #hop_count_max = 15
  #masquerade_domain = "example.com"           # default: none
  #masquerade_from = false                     # in From too
  #smart_host = ["smtp.example.com:25", "[192.0.2.1]"]   # or the name of a [[smart_host]]; default: the hosts that DNS names
  #smart_host_use = "always"                   # or "after_direct"
  #tls = "opportunistic"                       # "none", "required" or "verified"
  #authority = "tls/authorities.pem"           # default: the system's authorities
  #bind = ["192.0.2.1"]                        # default: as the system chooses
  #mta_sts = true                              # heed what domains publish
  #mx_loopback = false                         # mail hosts named by the DNS may be on this machine

  # Bounds of the queue
  [virtual_server.queue]
  #memory_max = "64 MB"
  #journal_max = "256 MB"
  #free_space_min = "100 MB"
  #stream_over = "1 MB"
  #messages_max = 1000000

  # The default domain: its mail goes to the Drop folder, or to a mail server that `route` names.
  [[virtual_server.domain]]
  name = "mailroot.test"
  kind = "default"
  #drop = "Drop"                               # default: Drop in the home folder
  #quota = "20 MB"                             # default: ten times size_max
  #route = "lmtp://127.0.0.1:24"

  #[[virtual_server.domain]]
  #name = "example.org"
  #kind = "alias"

  #[[virtual_server.domain]]
  #name = "*.branch.example.com"
  #kind = "remote"
  #allow_relay = true                          # everybody may send to it
  #route = "smtp://mail.branch.example.com:25" # "mx", "smtp://…", "lmtp://host:port", "lmtp+unix:/path", "smart_host:NAME"; or a list
  #tls = "required"                            # and all other settings of a [[smart_host]]
  #helo_only = false
"##;
