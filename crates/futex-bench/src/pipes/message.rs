//! What is sent.

/// Words of a message: its number, and 48 bytes more.
pub(super) const MESSAGE: usize = 13;

/// How far a producer may be ahead of the consumer, if that can be chosen. About as far as Linux lets it with a Unix socket,
/// which is what the others use: some 280 writes of this size.
pub(super) const AHEAD: usize = 256;

/// What is sent. Words, so that slots can hold it without a copy.
pub(super) fn message(number: u32) -> [u32; MESSAGE] {
    std::array::from_fn(|index| number.wrapping_add(index as u32))
}

/// The bytes of a message.
pub(super) fn bytes(number: u32) -> [u8; MESSAGE * 4] {
    let mut bytes = [0; MESSAGE * 4];
    for (bytes, word) in bytes.chunks_exact_mut(4).zip(message(number)) {
        bytes.copy_from_slice(&word.to_ne_bytes());
    }
    bytes
}
