//! NTLM's octets: fields whose length and place a stranger has written, pairs, UTF-16. Whatever does not lie within the
//! message is not there.

/// A message whose signature and kind are right.
#[derive(Copy, Clone)]
pub(in crate::sasl) struct Fields<'m> {
    message: &'m [u8],
    /// Octets before the first that a field may point to.
    fixed: usize,
}

impl<'m> Fields<'m> {
    pub(in crate::sasl) fn read(message: &'m [u8], kind: u32) -> Option<Fields<'m>> {
        let fixed = if kind == 2 { 48 } else { 64 };
        let fields = Fields { message: message.strip_prefix(super::SIGNATURE).map(|_| message)?, fixed };
        (fields.u32(8)? == kind).then_some(fields)
    }

    pub(in crate::sasl) fn u32(self, at: usize) -> Option<u32> {
        Some(u32::from_le_bytes(self.message.get(at..at + 4)?.try_into().ok()?))
    }

    /// What the field at `at` (length, room, offset) points to.
    pub(in crate::sasl) fn payload(self, at: usize) -> Option<&'m [u8]> {
        let length = usize::from(u16::from_le_bytes(self.message.get(at..at + 2)?.try_into().ok()?));
        if length == 0 {
            return Some(&[]);
        }
        let offset = usize::try_from(self.u32(at + 4)?).ok()?;
        (offset >= self.fixed).then(|| self.message.get(offset..offset.checked_add(length)?)).flatten()
    }
}

/// Appends a field: length, room, offset.
pub(in crate::sasl) fn put_field(out: &mut Vec<u8>, length: usize, offset: usize) {
    let length = u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes();
    out.extend(length);
    out.extend(length);
    out.extend(u32::try_from(offset).unwrap_or(u32::MAX).to_le_bytes());
}

/// Appends an attribute-value pair.
pub(in crate::sasl) fn put_pair(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    out.extend(kind.to_le_bytes());
    out.extend(u16::try_from(value.len()).unwrap_or(u16::MAX).to_le_bytes());
    out.extend_from_slice(value);
}

/// The pairs up to the one that ends them; `None` if they do not end, or one of a kind comes twice.
pub(in crate::sasl) fn pairs(mut octets: &[u8]) -> Option<Vec<(u16, &[u8])>> {
    let mut found: Vec<(u16, &[u8])> = Vec::new();
    loop {
        let (head, rest) = octets.split_at_checked(4)?;
        let kind = u16::from_le_bytes([head[0], head[1]]);
        let (value, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes([head[2], head[3]])))?;
        if kind == super::pair::END {
            return Some(found);
        }
        if found.iter().any(|(known, _)| *known == kind) {
            return None;
        }
        found.push((kind, value));
        octets = rest;
    }
}

/// UTF-16, little endian.
pub(in crate::sasl) fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// How names are written in messages, by what the client can read.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(in crate::sasl) enum Letters {
    Utf16,
    /// The client knows only the code page of its machine: of that, what all code pages have in common.
    Ascii,
}

impl Letters {
    pub(in crate::sasl) fn write(self, text: &str) -> Vec<u8> {
        match self {
            Letters::Utf16 => utf16(text),
            Letters::Ascii => text.bytes().map(|octet| if octet.is_ascii() { octet } else { b'?' }).collect(),
        }
    }

    pub(in crate::sasl) fn read(self, octets: &[u8]) -> Option<String> {
        match self {
            Letters::Ascii => octets.is_ascii().then(|| String::from_utf8(octets.to_vec()).ok()).flatten(),
            Letters::Utf16 if !octets.len().is_multiple_of(2) => None,
            Letters::Utf16 => {
                let units: Vec<u16> = octets.chunks(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]])).collect();
                String::from_utf16(&units).ok()
            }
        }
    }
}
