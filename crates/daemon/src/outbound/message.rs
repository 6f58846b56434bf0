//! A parcel and what the server offers → the transaction to begin and the content to send, or why this server cannot have it.
//!
//! A message that needs 8BITMIME or BINARYMIME is converted for a server that lacks it, where the standards allow that
//! ([`smtp::convert`]); SMTPUTF8 and size cannot be mended and are refused here, before the server is asked. Before that the header
//! gets what the operator asked for ([`relay::route::revision`]), so that it is counted in the size.
//!
//! RFC 6152 §3, RFC 3030, RFC 6531 §3.4, RFC 1870; IIS: masquerade domain, Delivery tab.

use super::Shared;
use super::words;
use crate::store::Content;
use bytes::Bytes;
use relay::config::Terms;
use relay::envelope::Failure;
use relay::parcel::Parcel;
use relay::route::masquerade;
use relay::route::revision::is_revised;
use smtp::client::{Addressee, Fit, Transaction, fit};
use smtp::command::BodyKind;
use smtp::convert;
use smtp::extension::Extensions;
use smtp::reply::EnhancedStatus;
use std::io;

/// Conversion needs the whole message in memory; a larger one is not converted.
pub(super) const CONVERT_MAX: u64 = 64 << 20;
/// Octets of a header that is changed on its way; a longer one is left as it is.
const REVISED_HEADER_MAX: usize = 256 << 10;
/// Above this, conversion has a thread of its own, so that it holds up no other connection.
const CONVERT_INLINE_MAX: usize = 64 << 10;

/// Prepares the parcel for these of its recipients, on the terms of the host that gets it.
pub(super) async fn prepare(
    shared: &Shared,
    offered: &Extensions,
    host: &str,
    (parcel, terms): (&Parcel, &Terms),
    recipients: &[u32],
) -> Result<(Transaction, Content), Failure> {
    let content = shared.store.content(parcel.id, &parcel.place).await.map_err(|e| unreadable(&e))?;
    let content = revised(shared, (parcel, terms), content).await.map_err(|e| unreadable(&e))?;
    // Not the size that the envelope notes: a parked message may have been mended by hand.
    let mut transaction = transaction(shared, (parcel, terms), recipients, content.len());
    let needs = fit(offered, &transaction);
    if let Fit::Refused { status, text } = needs {
        return Err(words::unsupported(status, format!("{host}: {text}"), host));
    }
    if needs == Fit::AsIs {
        return Ok((transaction, content));
    }
    if transaction.size > CONVERT_MAX {
        let text = format!("{host} takes 7-bit lines only, and the message is too large to be converted to them.");
        return Err(words::unsupported(EnhancedStatus(5, 6, 3), text, host));
    }
    let content = content.whole(CONVERT_MAX).await.map_err(|e| unreadable(&e))?;
    let refused = |why: convert::Unconvertible| words::unsupported(why.status(), format!("{host}: {why}"), host);
    let converted = to_seven_bit(content).await.map_err(refused)?;
    transaction.body = BodyKind::SevenBit;
    transaction.size = converted.len() as u64;
    match fit(offered, &transaction) {
        Fit::Refused { status, text } => Err(words::unsupported(status, format!("{host}: {text}"), host)),
        Fit::AsIs | Fit::NeedsSevenBit => Ok((transaction, Content::from(converted))),
    }
}

/// The content with its header as the next hop gets it. A header that does not end within [`REVISED_HEADER_MAX`] stays as it is.
async fn revised(shared: &Shared, (parcel, terms): (&Parcel, &Terms), mut content: Content) -> io::Result<Content> {
    let (server, envelope) = (&shared.server, &parcel.envelope);
    if !is_revised(server, envelope, terms) {
        return Ok(content);
    }
    let head = content.head(REVISED_HEADER_MAX).await?;
    let is_whole = head.len() as u64 == content.len();
    Ok(match relay::route::revision::revised(server, (parcel.id, envelope), terms, (&head, is_whole)) {
        Some(revised) => content.with_head(revised.head.into(), revised.instead_of),
        None => content,
    })
}

fn transaction(shared: &Shared, (parcel, terms): (&Parcel, &Terms), recipients: &[u32], size: u64) -> Transaction {
    let envelope = &parcel.envelope;
    let addressees = recipients.iter().filter_map(|index| envelope.recipients.get(*index as usize));
    Transaction {
        sender: masquerade(&shared.server, &envelope.sender, terms),
        recipients: addressees
            .map(|to| Addressee { address: to.address.clone(), notify: to.notify, orcpt: to.orcpt.clone() })
            .collect(),
        size,
        body: envelope.body,
        utf8: envelope.utf8,
        ret: envelope.ret,
        envid: envelope.envid.clone(),
        require_tls: envelope.require_tls,
    }
}

async fn to_seven_bit(content: Bytes) -> Result<Bytes, convert::Unconvertible> {
    if content.len() <= CONVERT_INLINE_MAX {
        return convert::to_seven_bit(&content).map(Bytes::from);
    }
    let work = tokio::task::spawn_blocking(move || convert::to_seven_bit(&content).map(Bytes::from));
    // A conversion that panics has met a structure that it cannot follow.
    work.await.unwrap_or(Err(convert::Unconvertible::Structure))
}

fn unreadable(error: &io::Error) -> Failure {
    words::local(format!("The message cannot be read from the queue: {error}."))
}
