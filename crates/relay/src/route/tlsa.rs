//! TLSA records: what a domain publishes about the keys of its mail hosts, and which of them can be used for mail.
//!
//! A record as it stands in the DNS is a [`Tlsa`]; [`usable`] turns them into [`DaneRecord`]s, or drops them. Usable are trust
//! anchors, DANE-TA(2), and keys of hosts, DANE-EE(3), whole or as a hash that we know. The usages 0 and 1, which
//! want the web's authorities as well, are not for mail. Of several hashes of the same thing only the strongest counts, so
//! that a weak one can be phased out.
//!
//! Does not: look anything up, prove anything by DNSSEC, or see a certificate (whoever shakes hands compares them).
//!
//! RFC 6698 §2.1 (the record), RFC 7671 §9 (agility of digests), RFC 7672 §3.1 (usages for SMTP).

/// One TLSA record as the DNS has it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Tlsa {
    /// Certificate usage.
    pub usage: u8,
    /// What of the certificate.
    pub selector: u8,
    /// In which form.
    pub matching: u8,
    /// That form.
    pub data: Box<[u8]>,
}

/// One TLSA record that a certificate can be compared with.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DaneRecord {
    /// What it speaks of.
    pub usage: DaneUsage,
    /// What of the certificate.
    pub selector: DaneSelector,
    /// In which form.
    pub matching: DaneMatching,
    /// That form.
    pub data: Box<[u8]>,
}

/// Whose certificate a record speaks of.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum DaneUsage {
    /// DANE-TA(2): an authority that has signed the host's certificate; the host must send its certificate along, unless
    /// the record has it whole. The host's certificate must be valid in time, and must bear one of the names.
    TrustAnchor,
    /// DANE-EE(3): the host's own. Neither names nor dates in it count.
    EndEntity,
}

/// What of a certificate a record speaks of.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum DaneSelector {
    /// Cert(0): all of it, DER.
    Certificate,
    /// SPKI(1): its public key with the algorithm, DER.
    PublicKey,
}

/// In which form.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum DaneMatching {
    /// Full(0): octet for octet.
    Whole,
    /// SHA2-256(1).
    Sha256,
    /// SHA2-512(2).
    Sha512,
}

impl Tlsa {
    /// As a record that can be used for mail; `None` if it cannot.
    #[must_use]
    pub fn usable(&self) -> Option<DaneRecord> {
        let usage = match self.usage {
            2 => DaneUsage::TrustAnchor,
            3 => DaneUsage::EndEntity,
            _ => return None,
        };
        let selector = match self.selector {
            0 => DaneSelector::Certificate,
            1 => DaneSelector::PublicKey,
            _ => return None,
        };
        let (matching, fits) = match self.matching {
            0 => (DaneMatching::Whole, !self.data.is_empty()),
            1 => (DaneMatching::Sha256, self.data.len() == 32),
            2 => (DaneMatching::Sha512, self.data.len() == 64),
            _ => return None,
        };
        fits.then(|| DaneRecord { usage, selector, matching, data: self.data.clone() })
    }
}

/// Those that can be used for mail, each once; a weaker hash beside a stronger one of the same thing is left out.
#[must_use]
pub fn usable(records: &[Tlsa]) -> Vec<DaneRecord> {
    let mut usable: Vec<DaneRecord> = records.iter().filter_map(Tlsa::usable).collect();
    usable.sort();
    usable.dedup();
    let strong: Vec<(DaneUsage, DaneSelector)> =
        usable.iter().filter(|r| r.matching == DaneMatching::Sha512).map(|r| (r.usage, r.selector)).collect();
    usable.retain(|r| r.matching != DaneMatching::Sha256 || !strong.contains(&(r.usage, r.selector)));
    usable
}

impl std::fmt::Display for Tlsa {
    /// As a zone file has it: `3 1 1 0a1b…`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {} ", self.usage, self.selector, self.matching)?;
        self.data.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tlsa(usage: u8, selector: u8, matching: u8, len: usize) -> Tlsa {
        Tlsa { usage, selector, matching, data: vec![7; len].into() }
    }

    #[test]
    fn which_records_are_for_mail() {
        for usage in 0..=255 {
            assert_eq!(tlsa(usage, 1, 1, 32).usable().is_some(), matches!(usage, 2 | 3), "usage {usage}");
        }
        for selector in 0..=255 {
            assert_eq!(tlsa(3, selector, 1, 32).usable().is_some(), selector < 2, "selector {selector}");
        }
        for matching in 0..=255 {
            let len = if matching == 2 { 64 } else { 32 };
            assert_eq!(tlsa(3, 1, matching, len).usable().is_some(), matching < 3, "matching type {matching}");
        }
    }

    #[test]
    fn data_of_a_wrong_length_can_match_nothing() {
        for len in [0, 1, 31, 33, 64] {
            assert_eq!(tlsa(3, 1, 1, len).usable(), None, "SHA2-256 of {len} octets");
        }
        for len in [0, 32, 63, 65] {
            assert_eq!(tlsa(3, 1, 2, len).usable(), None, "SHA2-512 of {len} octets");
        }
        assert_eq!(tlsa(3, 1, 0, 0).usable(), None, "nothing would match nothing");
        assert!(tlsa(3, 1, 0, 1).usable().is_some());
    }

    #[test]
    fn the_strongest_hash_of_the_same_thing_counts() {
        let kept =
            |records: &[Tlsa]| usable(records).iter().map(|r| (r.usage, r.selector, r.matching)).collect::<Vec<_>>();
        use DaneMatching::{Sha256, Sha512, Whole};
        use DaneSelector::{Certificate, PublicKey};
        use DaneUsage::{EndEntity, TrustAnchor};
        let both = [tlsa(3, 1, 1, 32), tlsa(3, 1, 2, 64), tlsa(3, 1, 0, 90)];
        assert_eq!(kept(&both), [(EndEntity, PublicKey, Whole), (EndEntity, PublicKey, Sha512)]);
        let of_others = [tlsa(3, 1, 1, 32), tlsa(2, 1, 2, 64), tlsa(3, 0, 2, 64)];
        assert_eq!(
            kept(&of_others),
            [(TrustAnchor, PublicKey, Sha512), (EndEntity, Certificate, Sha512), (EndEntity, PublicKey, Sha256)]
        );
        let unusable = [tlsa(3, 1, 1, 32), tlsa(3, 1, 2, 63)];
        assert_eq!(kept(&unusable), [(EndEntity, PublicKey, Sha256)], "what cannot be used pushes nothing out");
        assert_eq!(usable(&[tlsa(3, 1, 1, 32), tlsa(3, 1, 1, 32)]).len(), 1);
        assert_eq!(usable(&[tlsa(1, 1, 1, 32), tlsa(0, 0, 0, 9)]), []);
    }

    #[test]
    fn for_people_as_in_a_zone_file() {
        let record = Tlsa { usage: 3, selector: 1, matching: 1, data: vec![0x0a, 0xff].into() };
        assert_eq!(record.to_string(), "3 1 1 0aff");
    }
}
