//! What is counted: one table of counters, and the fold that takes each [`Record`] into account.
//!
//! Nothing is counted anywhere else, so that log and counters cannot disagree; levels (queues, connections) are read where they
//! are known and stand in the same table ([`Kind::Level`]). Where the old service had a counter, ours has its name as the label and
//! means the same; where it does not quite, the help says so. docs/counters.md is made of the table.
//!
//! Adds nothing up itself: [`count`] says what is to be added, the daemon has the sums.
//!
//! IIS: performance object "SMTP Server".

mod text;

pub use text::{MEDIA_TYPE, exposition, markdown};

use crate::badmail::BadmailReason;
use crate::envelope::FailureKind;
use crate::record::{Logon, Record};
use smtp::reply::{EnhancedStatus, Reply};

/// Does it only rise, or is it how much there is now?
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// It begins with the service and only rises.
    Sum,
    /// How much there is now.
    Level,
}

/// What there is to know of a counter.
#[derive(Copy, Clone, Debug)]
pub struct Definition {
    /// Which.
    pub counter: Counter,
    /// Its group, for people.
    pub group: &'static str,
    /// Its name for Prometheus.
    pub name: &'static str,
    /// What the old service called it; else a label of ours.
    pub label: &'static str,
    /// The old service had it.
    pub old: bool,
    /// What it counts.
    pub help: &'static str,
    /// Does it only rise?
    pub kind: Kind,
}

macro_rules! counters {
    ($($group:literal: $($counter:ident $kind:ident $name:literal $origin:ident $label:literal $help:literal;)+)+) => {
        /// A counter of a virtual server.
        #[derive(Copy, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        #[repr(u8)]
        pub enum Counter {
            $($(#[doc = $help] $counter,)+)+
        }

        /// All counters, in the order in which they are shown.
        pub const ALL: &[Definition] = &[
            $($(Definition {
                counter: Counter::$counter,
                group: $group,
                name: $name,
                label: $label,
                old: counters!(@ $origin),
                help: $help,
                kind: Kind::$kind,
            },)+)+
        ];
    };
    (@ old) => { true };
    (@ ours) => { false };
}

counters! {
    "Service":
    Up Level "mailroot_up" ours "Running" "1 while the virtual server runs, 0 while it does not.";
    Alarms Sum "mailroot_alarms_logged_total" ours "Alarms Logged" "Lines of the log that an operator should act on.";

    "Messages in":
    MessagesReceived Sum "mailroot_messages_received_total" old "Messages Received Total" "Messages accepted over SMTP or from Pickup; our own reports are not among them.";
    MessageBytesReceived Sum "mailroot_message_bytes_received_total" old "Message Bytes Received Total" "Octets of these messages.";
    RecipientsReceived Sum "mailroot_recipients_received_total" ours "Recipients Received Total" "Recipients of these messages; divided by their number, the old Avg Recipients/msg Received.";
    PickupMessages Sum "mailroot_pickup_messages_total" old "Pickup Directory Messages Retrieved Total" "Messages among them that came from files in Pickup.";
    MessagesSubmitted Sum "mailroot_messages_submitted_total" old "Total messages submitted" "Messages that came into the queue, our own reports, those put back from Badmail and those carried in among them.";
    MessagesAbandoned Sum "mailroot_messages_abandoned_total" ours "Messages Abandoned" "Messages that came to nothing after their content had begun.";

    "Connections in":
    ConnectionsIn Sum "mailroot_connections_in_total" old "Inbound Connections Total" "Connections of clients.";
    ConnectionsInCurrent Level "mailroot_connections_in" old "Inbound Connections Current" "Sessions of clients that are open.";
    TlsIn Sum "mailroot_tls_in_total" ours "TLS Sessions In" "Sessions of clients that were encrypted.";
    TlsInFailed Sum "mailroot_tls_in_failed_total" ours "TLS Failures In" "Handshakes with clients that failed.";
    LogonsAccepted Sum "mailroot_logons_accepted_total" ours "Log-ons Accepted" "Clients that have logged on (AUTH).";
    LogonsRefused Sum "mailroot_logons_refused_total" ours "Log-ons Refused" "Attempts to log on that were refused.";
    Lockouts Sum "mailroot_lockouts_total" ours "Lock-outs" "Accounts and networks that were locked out for wrong passwords.";

    "Refusals":
    Refused Sum "mailroot_refused_total" ours "Refusals" "Commands of clients that were answered with 4yz or 5yz; the next ones are parts of it.";
    RefusedConnections Sum "mailroot_refused_connections_total" ours "Connections Refused" "Connections that were turned away with a reply.";
    RefusedSenders Sum "mailroot_refused_senders_total" ours "Senders Refused" "MAIL commands refused.";
    RefusedRecipients Sum "mailroot_refused_recipients_total" ours "Recipients Refused" "RCPT commands refused.";
    RefusedMessages Sum "mailroot_refused_messages_total" ours "Messages Refused" "Messages refused at or after their content.";
    RefusedOther Sum "mailroot_refused_other_total" ours "Other Refusals" "Refusals of anything else: AUTH, wrong commands, sessions that were ended.";
    MessagesRefusedSize Sum "mailroot_messages_refused_size_total" old "Messages Refused for Size" "Refusals because a message, or all of a session, is too large.";
    RefusedRelay Sum "mailroot_refused_relay_total" ours "Relaying Refused" "Recipients elsewhere that the relay restrictions refused.";
    RefusedRate Sum "mailroot_refused_rate_total" ours "Refused for Rate" "Refusals because a rate or a number at a time (access.rate) was reached.";
    RefusedForNow Sum "mailroot_refused_for_now_total" ours "Refused for Now" "Refusals with 4yz: the client may try again.";

    "Routing":
    DnsQueries Sum "mailroot_dns_queries_total" old "DNS Queries Total" "Questions to the resolver, those that its cache answered among them.";

    "Delivery here":
    MessagesDelivered Sum "mailroot_messages_delivered_total" old "Messages Delivered Total" "Messages delivered here.";
    DirectoryDrops Sum "mailroot_directory_drops_total" old "Directory Drops Total" "Files written into Drop: the only delivery here that there is, so the same number.";
    DeliveryRetries Sum "mailroot_delivery_retries_total" old "Message Delivery Retries" "Recipients here whose delivery was put off.";
    LocalQueue Level "mailroot_local_queue_length" old "Local Queue Length" "Messages that wait for Drop.";
    LocalRetryQueue Level "mailroot_local_retry_queue_length" old "Local Retry Queue Length" "Those of them that have failed and wait for their next try.";

    "Delivery elsewhere":
    MessagesSent Sum "mailroot_messages_sent_total" old "Messages Sent Total" "Messages that a next hop has taken over: one for each transaction.";
    MessageBytesSent Sum "mailroot_message_bytes_sent_total" old "Message Bytes Sent Total" "Octets of these messages.";
    RecipientsSent Sum "mailroot_recipients_sent_total" ours "Recipients Sent Total" "Recipients of these messages; divided by their number, the old Avg Recipients/msg Sent.";
    SendRetries Sum "mailroot_send_retries_total" old "Message Send Retries" "Recipients elsewhere whose delivery was put off.";
    ConnectionsOut Sum "mailroot_connections_out_total" old "Outbound Connections Total" "Sessions opened with next hops.";
    ConnectionsOutCurrent Level "mailroot_connections_out" old "Outbound Connections Current" "Connections to next hops that are open or being opened.";
    ConnectionsOutRefused Sum "mailroot_connections_out_refused_total" old "Outbound Connections Refused" "Sessions that a next hop refused with a reply.";
    ConnectionErrors Sum "mailroot_connection_errors_total" old "Total Connection Errors" "Sessions that could not be opened, for whatever reason.";
    TlsOut Sum "mailroot_tls_out_total" ours "TLS Sessions Out" "Sessions with next hops that were encrypted.";
    InClear Sum "mailroot_sent_in_clear_total" ours "Fallbacks to Clear Text" "Times that TLS with a next hop failed and its policy allowed to go on without.";
    DestinationsDown Sum "mailroot_destinations_down_total" ours "Destinations Down" "Times that a destination was found not to answer.";
    Destinations Level "mailroot_destinations" ours "Destinations" "Destinations with mail or connections.";
    RemoteQueue Level "mailroot_remote_queue_length" old "Remote Queue Length" "Messages that wait for a next hop.";
    RemoteRetryQueue Level "mailroot_remote_retry_queue_length" old "Remote Retry Queue Length" "Those of them that have failed, or whose destination does not answer, and wait for the next try.";
    Queue Level "mailroot_queue_messages" ours "Queue Length" "All messages that wait, held ones among them.";
    Held Level "mailroot_held_messages" ours "Held Messages" "Messages that an operator holds.";

    "Failures":
    RecipientsFailed Sum "mailroot_recipients_failed_total" ours "Recipients Failed" "Recipients that failed for good.";
    NdrsGenerated Sum "mailroot_ndrs_generated_total" old "NDRs Generated" "Reports that were made: of failure, of delay, and of success where it was asked for.";
    BadmailPickup Sum "mailroot_badmailed_bad_pickup_file_total" old "Badmailed Messages (Bad Pickup File)" "Pickup files that cannot be read as messages.";
    BadmailGeneral Sum "mailroot_badmailed_general_failure_total" old "Badmailed Messages (General Failure)" "Messages in Badmail for a reason that is none of the others.";
    BadmailHops Sum "mailroot_badmailed_hop_count_exceeded_total" old "Badmailed Messages (Hop Count Exceeded)" "Messages in Badmail that have passed too many hosts.";
    BadmailNdr Sum "mailroot_badmailed_ndr_of_dsn_total" old "Badmailed Messages (NDR of DSN)" "Reports in Badmail that could not be delivered.";
    BadmailRecipients Sum "mailroot_badmailed_no_recipients_total" old "Badmailed Messages (No Recipients)" "Messages in Badmail that have no recipient.";

    "Operators":
    Requeued Sum "mailroot_requeued_total" ours "Requeued from Badmail" "Messages that an operator put into the queue again.";
    Imported Sum "mailroot_imported_total" ours "Messages Imported" "Messages that an operator has carried in from another queue.";
    HeldByOperators Sum "mailroot_held_total" ours "Messages Held" "Messages that operators have held.";
    Deleted Sum "mailroot_deleted_total" ours "Messages Deleted" "Messages that operators have deleted.";
}

/// How many counters there are.
pub const COUNTERS: usize = ALL.len();

impl Counter {
    /// Its place among all of them.
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }

    /// What there is to know of it.
    #[must_use]
    pub fn definition(self) -> &'static Definition {
        &ALL[self.index()]
    }
}

/// What this record adds to which counters.
pub fn count(record: &Record, mut add: impl FnMut(Counter, u64)) {
    use Counter as C;
    match record {
        Record::Alarm { .. } => add(C::Alarms, 1),
        Record::Connected { .. } => add(C::ConnectionsIn, 1),
        Record::Accepted { size, recipients, .. } => received(*size, *recipients, &mut add),
        Record::PickedUp { size, recipients, .. } => {
            received(*size, *recipients, &mut add);
            add(C::PickupMessages, 1);
        }
        Record::Requeued { .. } => {
            add(C::MessagesSubmitted, 1);
            add(C::Requeued, 1);
        }
        Record::Imported { .. } => {
            add(C::MessagesSubmitted, 1);
            add(C::Imported, 1);
        }
        Record::Abandoned { .. } => add(C::MessagesAbandoned, 1),
        Record::Refused { command, reply, by, .. } => refused(command, reply, *by, &mut add),
        Record::Secured { .. } => add(C::TlsIn, 1),
        Record::NotSecured { .. } => add(C::TlsInFailed, 1),
        Record::Logon(Logon::Accepted { .. }) => add(C::LogonsAccepted, 1),
        Record::Logon(Logon::Refused { .. }) => add(C::LogonsRefused, 1),
        Record::Logon(Logon::LockedOut { .. }) => add(C::Lockouts, 1),
        Record::InClear { .. } => add(C::InClear, 1),
        Record::Reached { channel, .. } => {
            add(C::ConnectionsOut, 1);
            add(C::TlsOut, u64::from(channel.as_ref().is_some_and(|channel| channel.tls.is_some())));
        }
        Record::Unreached { failure } => {
            add(C::ConnectionErrors, 1);
            let refused = failure.kind == FailureKind::Refused && failure.reply.is_some();
            add(C::ConnectionsOutRefused, u64::from(refused));
        }
        Record::Sent { local: true, .. } => {
            add(C::MessagesDelivered, 1);
            add(C::DirectoryDrops, 1);
        }
        Record::Sent { local: false, size, recipients, .. } => {
            add(C::MessagesSent, 1);
            add(C::MessageBytesSent, *size);
            add(C::RecipientsSent, *recipients as u64);
        }
        Record::Deferred { local, .. } => add(if *local { C::DeliveryRetries } else { C::SendRetries }, 1),
        Record::Failed { .. } => add(C::RecipientsFailed, 1),
        Record::Reported { .. } => {
            add(C::NdrsGenerated, 1);
            add(C::MessagesSubmitted, 1);
        }
        Record::Badmailed { reason, .. } => add(badmailed(*reason), 1),
        Record::Held { .. } => add(C::HeldByOperators, 1),
        Record::Deleted { .. } => add(C::Deleted, 1),
        Record::DestinationDown { .. } => add(C::DestinationsDown, 1),
        Record::Started { .. }
        | Record::Configured
        | Record::Stopped
        | Record::Paused
        | Record::Continued { .. }
        | Record::Waived { .. }
        | Record::Disconnected { .. }
        | Record::Policy { .. }
        | Record::Delivered { .. }
        | Record::Released { .. }
        | Record::DestinationPaused { .. }
        | Record::DestinationSuspended { .. }
        | Record::DestinationResumed { .. }
        | Record::Operator { .. }
        | Record::DestinationUp { .. } => {}
    }
}

fn received(size: u64, recipients: usize, add: &mut impl FnMut(Counter, u64)) {
    add(Counter::MessagesReceived, 1);
    add(Counter::MessageBytesReceived, size);
    add(Counter::RecipientsReceived, recipients as u64);
    add(Counter::MessagesSubmitted, 1);
}

fn refused(command: &str, reply: &Reply, by: Option<&str>, add: &mut impl FnMut(Counter, u64)) {
    add(Counter::Refused, 1);
    add(part(command), 1);
    let by = by.unwrap_or("");
    let is_size = reply.code == 552 || matches!(reply.status, Some(EnhancedStatus(_, 3, 4)));
    add(Counter::MessagesRefusedSize, u64::from(is_size));
    add(Counter::RefusedRelay, u64::from(by.starts_with("access.relay")));
    add(Counter::RefusedRate, u64::from(by.starts_with("access.rate.")));
    add(Counter::RefusedForNow, u64::from(reply.is_transient()));
}

/// What was refused, by the words of the record.
fn part(command: &str) -> Counter {
    let begins = |word: &str| command.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    if command == "connect" {
        Counter::RefusedConnections
    } else if begins("MAIL") {
        Counter::RefusedSenders
    } else if begins("RCPT") {
        Counter::RefusedRecipients
    } else if begins("DATA") || begins("BDAT") || command == "message" {
        Counter::RefusedMessages
    } else {
        Counter::RefusedOther
    }
}

fn badmailed(reason: BadmailReason) -> Counter {
    match reason {
        BadmailReason::BadPickupFile => Counter::BadmailPickup,
        BadmailReason::NdrOfDsn => Counter::BadmailNdr,
        BadmailReason::HopCountExceeded => Counter::BadmailHops,
        BadmailReason::NoRecipients => Counter::BadmailRecipients,
        BadmailReason::GeneralFailure => Counter::BadmailGeneral,
    }
}

#[cfg(test)]
mod tests;
