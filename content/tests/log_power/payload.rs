//! Payloads that say what they are, so that whoever reads one knows whether it is whole, and of which batch.

/// A record: its number, and the batch that it was produced in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id {
    pub number: u64,
    /// The number of the batch's first record; those of the others follow.
    pub first: u64,
    pub count: u32,
}

const HEAD: usize = 24;

/// The payload of a record; `filling` bytes follow from its number.
pub fn encode(id: Id, filling: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD + filling);
    bytes.extend_from_slice(&id.number.to_le_bytes());
    bytes.extend_from_slice(&id.first.to_le_bytes());
    bytes.extend_from_slice(&id.count.to_le_bytes());
    bytes.extend_from_slice(&(filling as u32).to_le_bytes());
    let mut rng = fastrand::Rng::with_seed(id.number);
    bytes.extend((0..filling).map(|_| rng.u8(..)));
    bytes
}

/// What a payload says that it is, if it is that, whole.
pub fn decode(bytes: &[u8]) -> Option<Id> {
    let number = u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?);
    let first = u64::from_le_bytes(bytes.get(8..16)?.try_into().ok()?);
    let count = u32::from_le_bytes(bytes.get(16..20)?.try_into().ok()?);
    let id = Id { number, first, count };
    let is_in_batch = number.checked_sub(first)? < u64::from(count);
    (is_in_batch && bytes == encode(id, bytes.len() - HEAD)).then_some(id)
}
