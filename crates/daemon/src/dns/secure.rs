//! Answers that DNSSEC proves: which hosts take a domain's mail, and by which keys they are known.
//!
//! Two ways to know that an answer is true (`dns.dnssec`): we check the signatures ourselves, from the root's keys or those of a
//! file; or the resolver has done it and says so (the AD bit), and we believe it. Both end in the same [`Proven`]: an answer,
//! whether it is proven, and where aliases led. What is proven wrong (bogus) counts as not answered.
//!
//! A look-up has its own cache beside the plain one, and is made only where it can change something: MX records once for each
//! domain, addresses and TLSA records where a policy wants to know.
//!
//! Promises: nothing is called proven of which any link, the aliases among them, is not. Does not: decide what follows
//! ([`relay::route::protection`]).
//!
//! RFC 4035 §5 (validation, by the library), RFC 6840 §5.7 (the AD bit); RFC 7672 §2.1, §2.2 (which look-ups, in which order).

use super::{
    CACHE_MAX, LOOKUP_MAX, NEGATIVE_TTL_MAX, RETRIES, ResolverError, TTL_MAX, TTL_MIN, absolute, fault, fault_of_none,
    name_servers, unanswered,
};
use futures_util::StreamExt;
use futures_util::stream::{BoxStream, Stream};
use hickory_resolver::caching_client::CachingClient;
use hickory_resolver::config::{ResolverConfig, ResolverOpts};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::xfer::{DnsHandle, RetryDnsHandle};
use hickory_resolver::net::{DnsError, NetError, NoRecords};
use hickory_resolver::proto::dnssec::rdata::DNSSECRData;
use hickory_resolver::proto::dnssec::{Proof, TrustAnchors};
use hickory_resolver::proto::op::{DnsRequest, DnsRequestOptions, DnsResponse, Query};
use hickory_resolver::proto::rr::rdata::TLSA;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::{NameServerPool, PoolContext, TlsConfig, TokioResolver};
use relay::config::{Dns, Dnssec};
use relay::route::mx::{Answer, DnsFault};
use relay::route::protection::Keys;
use relay::route::tlsa::Tlsa;
use smtp::address::Domain;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Aliases, one after the other, that are followed.
const ALIASES_MAX: usize = 8;
/// "There is none" is kept at least so long: the library does not tell how long it may be, once it is proven.
const PROVEN_NEGATIVE_TTL: Duration = Duration::from_secs(60);

/// An answer, and how far it is proven.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Proven<T> {
    pub answer: Answer<T>,
    /// All of it: the records, or that there are none, and the aliases that led there.
    pub secure: bool,
    /// Where aliases led; the name itself if it is none.
    pub name: Name,
    /// The name is an alias, and that much is proven.
    pub secure_alias: bool,
}

/// Asks so that answers can be believed. Cheap to clone; clones share the cache.
#[derive(Clone)]
pub(super) enum Secure {
    Validating(Arc<TokioResolver>),
    Trusting(CachingClient<TrustAd>),
}

impl std::fmt::Debug for Secure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Secure::Validating(_) => "Validating",
            Secure::Trusting(_) => "Trusting",
        })
    }
}

impl Secure {
    /// `None` if DNSSEC is off.
    pub(super) fn new(dns: &Dns) -> Result<Option<Secure>, ResolverError> {
        let (_, _, servers) = name_servers(dns).into_parts();
        let config = ResolverConfig::from_name_servers(servers);
        match dns.dnssec {
            Dnssec::Off => Ok(None),
            Dnssec::Validate => Secure::validating(config, dns.trust_anchor.as_deref()).map(Some),
            Dnssec::TrustAd => Secure::trusting(config).map(Some),
        }
    }

    fn validating(config: ResolverConfig, anchor: Option<&Path>) -> Result<Secure, ResolverError> {
        let mut builder = super::builder_of(config);
        super::set_bounds(builder.options_mut());
        builder.options_mut().negative_min_ttl = Some(PROVEN_NEGATIVE_TTL);
        builder.options_mut().validate = true;
        if let Some(path) = anchor {
            let anchors = TrustAnchors::from_file(path)
                .map_err(|e| ResolverError(format!("the trust anchor {} cannot be used: {e}", path.display())))?;
            builder = builder.with_trust_anchor(Arc::new(anchors));
        }
        builder.build().map(|resolver| Secure::Validating(Arc::new(resolver))).map_err(|e| ResolverError(e.to_string()))
    }

    fn trusting(config: ResolverConfig) -> Result<Secure, ResolverError> {
        let mut options = ResolverOpts::default();
        super::set_bounds(&mut options);
        let tls = TlsConfig::new().map_err(|e| ResolverError(e.to_string()))?;
        let context = Arc::new(PoolContext::new(options, tls));
        let (_, _, servers) = config.into_parts();
        let pool = NameServerPool::from_config(servers, context, TokioRuntimeProvider::default());
        let asker = TrustAd(RetryDnsHandle::new(pool, RETRIES));
        Ok(Secure::Trusting(CachingClient::new(CACHE_MAX, asker, true)))
    }

    async fn ask(&self, name: &Name, kind: RecordType) -> Result<Lookup, NetError> {
        match self {
            Secure::Validating(resolver) => resolver.lookup(name.clone(), kind).await,
            Secure::Trusting(client) => {
                let mut options = DnsRequestOptions::default();
                options.edns_set_dnssec_ok = true;
                client.lookup(Query::query(name.clone(), kind), options).await
            }
        }
    }

    /// What the name has of this kind.
    pub(super) async fn look_up<T>(&self, name: &Name, kind: RecordType, pick: fn(&RData) -> Option<T>) -> Proven<T> {
        match tokio::time::timeout(LOOKUP_MAX, self.follow(name, kind, pick)).await {
            Ok(proven) => proven,
            Err(_) => not_answered(name, unanswered("time-out")),
        }
    }

    async fn follow<T>(&self, name: &Name, kind: RecordType, pick: fn(&RData) -> Option<T>) -> Proven<T> {
        let (mut at, mut secure, mut secure_alias) = (name.clone(), true, false);
        for _ in 0..ALIASES_MAX {
            let mut proven = match self.ask(&at, kind).await {
                Ok(lookup) => read(&at, lookup.answers(), kind, pick),
                Err(error) => match none(&error) {
                    Some((fault, secure)) => Proven { secure, ..not_answered(&at, fault) },
                    // The library takes "an alias of something without such records" for a lie: look for oneself.
                    None if is_bogus(&error) => {
                        if let Some((target, proven)) = self.alias(&at).await {
                            secure_alias |= proven && at == *name;
                            secure &= proven;
                            at = target;
                            continue;
                        }
                        match self.by_wildcard(&at, kind).await {
                            Some(lookup) => {
                                Proven { name: at.clone(), ..read(lookup.query().name(), lookup.answers(), kind, pick) }
                            }
                            None => not_answered(&at, unanswered("DNSSEC: the answer is bogus")),
                        }
                    }
                    None => not_answered(&at, fault(&error)),
                },
            };
            proven.secure &= secure;
            proven.secure_alias = if at == *name { proven.secure_alias } else { secure_alias };
            return proven;
        }
        not_answered(name, unanswered("an alias, CNAME, that leads nowhere"))
    }

    /// The library takes many an answer from a wildcard for a lie (NSEC), but not the proof that the name itself does not exist,
    /// which comes with other questions, too. With it, what the wildcard has is what the name has (RFC 4592 §3.3.1).
    async fn by_wildcard(&self, name: &Name, kind: RecordType) -> Option<Lookup> {
        let other = self.ask(name, RecordType::HINFO).await.err()?;
        let NetError::Dns(DnsError::NoRecordsFound(none)) = other else { return None };
        let denied = |name: &Name| {
            let mut records = none.authorities.iter().flat_map(|records| records.iter());
            records.any(|record| record.proof.is_secure() && covers(record, name))
        };
        let mut next_closer = name.clone();
        for _ in 0..ALIASES_MAX {
            let encloser = next_closer.base_name();
            if encloser.is_root() || !denied(name) || !denied(&next_closer) {
                return None;
            }
            let wildcard = encloser.prepend_label("*").ok()?;
            match self.ask(&wildcard, kind).await {
                Ok(lookup) => return Some(lookup),
                Err(_) => next_closer = encloser,
            }
        }
        None
    }

    /// What the name is an alias of, and whether that is proven.
    async fn alias(&self, name: &Name) -> Option<(Name, bool)> {
        let lookup = self.ask(name, RecordType::CNAME).await.ok()?;
        lookup.answers().iter().find_map(|record| match &record.data {
            RData::CNAME(target) if record.name == *name => Some((target.0.clone(), record.proof.is_secure())),
            _ => None,
        })
    }

    /// The keys of a mail host at this port.
    pub(super) async fn keys(&self, host: &Domain, port: u16) -> Keys {
        let Ok(host) = absolute(host) else { return Keys::Insecure };
        let (v4, v6) = tokio::join!(
            self.look_up(&host, RecordType::A, |data| matches!(data, RData::A(_)).then_some(())),
            self.look_up(&host, RecordType::AAAA, |data| matches!(data, RData::AAAA(_)).then_some(())),
        );
        // One family is enough; that the other one is broken concerns those who connect by it.
        let addresses = match (&v4.answer, &v6.answer) {
            (Ok(_), _) => v4,
            (_, Ok(_)) => v6,
            (Err(DnsFault::Unanswered(why)), _) | (_, Err(DnsFault::Unanswered(why))) => {
                return Keys::Failed(why.clone());
            }
            _ => return Keys::Insecure,
        };
        // A resolver that is believed says only whether all of an answer is proven, not how far.
        let is_proven_alias = addresses.name != host && !addresses.secure && {
            addresses.secure_alias || self.alias(&host).await.is_some_and(|(_, proven)| proven)
        };
        let bases = match addresses {
            Proven { secure: true, name, .. } if name != host => vec![name, host],
            Proven { secure: true, .. } => vec![host],
            _ if is_proven_alias => vec![host],
            _ => return Keys::Insecure,
        };
        let mut none = Keys::None;
        for base in bases {
            match self.keys_at(&base, port).await {
                Keys::None => {}
                Keys::Insecure => none = Keys::Insecure,
                keys => return keys,
            }
        }
        none
    }

    async fn keys_at(&self, base: &Name, port: u16) -> Keys {
        let place = Name::from_ascii(format!("_{port}._tcp"));
        let place = place.and_then(|place| place.append_domain(base));
        // A name that grows too long by it cannot exist.
        let Ok(place) = place else { return Keys::None };
        let shown = base.to_ascii();
        let Ok(base) = Domain::parse(&shown) else { return Keys::Insecure };
        let found = self.look_up(&place, RecordType::TLSA, |data| match data {
            RData::TLSA(tlsa) => Some(record(tlsa)),
            _ => None,
        });
        match found.await {
            Proven { answer: Ok(records), secure: true, .. } => Keys::Found { base, records },
            Proven { answer: Err(DnsFault::Unanswered(why)), .. } => Keys::Failed(why),
            Proven { answer: Err(_), secure: true, .. } => Keys::None,
            Proven { .. } => Keys::Insecure,
        }
    }
}

fn record(tlsa: &TLSA) -> Tlsa {
    Tlsa {
        usage: tlsa.cert_usage.into(),
        selector: tlsa.selector.into(),
        matching: tlsa.matching.into(),
        data: tlsa.cert_data.clone().into(),
    }
}

fn not_answered<T>(name: &Name, fault: DnsFault) -> Proven<T> {
    Proven { answer: Err(fault), secure: false, name: name.clone(), secure_alias: false }
}

/// The records of `kind` that `name` has, by its aliases.
fn read<T>(name: &Name, answers: &[Record], kind: RecordType, pick: fn(&RData) -> Option<T>) -> Proven<T> {
    let (mut at, mut secure, mut secure_alias) = (name, true, false);
    for _ in 0..answers.len() {
        let alias = answers.iter().find_map(|record| match &record.data {
            RData::CNAME(target) if record.name == *at => Some((&target.0, record.proof.is_secure())),
            _ => None,
        });
        let Some((target, proven)) = alias else { break };
        secure_alias |= proven && at == name;
        secure &= proven;
        at = target;
    }
    let records: Vec<&Record> = answers.iter().filter(|r| r.record_type() == kind && r.name == *at).collect();
    let found: Vec<T> = records.iter().filter_map(|record| pick(&record.data)).collect();
    if found.is_empty() {
        return not_answered(name, unanswered("nonsense in the answer"));
    }
    secure &= records.iter().all(|record| record.proof.is_secure());
    Proven { answer: Ok(found), secure, name: at.clone(), secure_alias }
}

/// There is none, and whether that is proven.
fn none(error: &NetError) -> Option<(DnsFault, bool)> {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => Some((fault_of_none(none), denies(none))),
        // Such as proofs that would cost too much to check (NSEC3 with many rounds): as if unsigned (RFC 9276 §3.2).
        NetError::Dns(DnsError::Nsec { response, proof: Proof::Insecure, .. }) => {
            Some((fault_of_none(&NoRecords::new(Query::new(), response.response_code)), false))
        }
        _ => None,
    }
}

/// The proof that there is none was itself proven.
fn denies(none: &NoRecords) -> bool {
    none.authorities.iter().flat_map(|records| records.iter()).any(|record| {
        record.proof.is_secure() && matches!(&record.data, RData::DNSSEC(DNSSECRData::NSEC(_) | DNSSECRData::NSEC3(_)))
    })
}

/// Does this NSEC record say that the name does not exist, not even as part of others?
fn covers(record: &Record, name: &Name) -> bool {
    let RData::DNSSEC(DNSSECRData::NSEC(nsec)) = &record.data else { return false };
    let next = nsec.next_domain_name();
    let is_before = name < next || (*next <= record.name && next.zone_of(name));
    *name > record.name && is_before && !name.zone_of(next) && !nsec.is_ancestor_delegation()
}

fn is_bogus(error: &NetError) -> bool {
    matches!(error, NetError::Dns(DnsError::DnssecBogus | DnsError::Nsec { .. }))
}

/// Asks a resolver that checks signatures, and takes its word: the records of an answer with the AD bit are proven.
#[derive(Clone)]
pub(super) struct TrustAd(RetryDnsHandle<NameServerPool<TokioRuntimeProvider>>);

impl DnsHandle for TrustAd {
    type Response = BoxStream<'static, Result<DnsResponse, NetError>>;
    type Runtime = TokioRuntimeProvider;

    fn send(&self, mut request: DnsRequest) -> Self::Response {
        request.metadata.authentic_data = true;
        Box::pin(believe(self.0.send(request)))
    }
}

/// Marks the records of each answer, and keeps how long they are kept within our bounds, which this cache does not know.
fn believe(
    answers: impl Stream<Item = Result<DnsResponse, NetError>> + Send,
) -> impl Stream<Item = Result<DnsResponse, NetError>> + Send {
    answers.map(|answer| match answer {
        Ok(mut answer) => {
            let proof = if answer.metadata.authentic_data { Proof::Secure } else { Proof::Insecure };
            for record in &mut answer.answers {
                record.proof = proof;
                record.ttl = record.ttl.clamp(seconds(TTL_MIN), seconds(TTL_MAX));
            }
            Ok(answer)
        }
        // The library does not tell whether "there is none" came with the AD bit: it counts as not proven.
        Err(NetError::Dns(DnsError::NoRecordsFound(mut none))) => {
            none.negative_ttl = none.negative_ttl.map(|ttl| ttl.clamp(seconds(TTL_MIN), seconds(NEGATIVE_TTL_MAX)));
            Err(none.into())
        }
        Err(error) => Err(error),
    })
}

fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
