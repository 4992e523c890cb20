/// Work that a client is asked for: a number below 2^32 which, as four bytes after the last 32 bytes of the challenge, makes
/// a SHA-256 that begins with so many zero bits. It comes back in the fields `challenge` and `solution` of the same form.
#[derive(Clone, Debug)]
pub struct ProofOfWork {
    /// What the work is done for, in base64url.
    pub challenge: String,
    /// Zero bits: 2^bits tries on average.
    pub bits: u32,
    /// Seconds after which the same is possible without.
    pub wait: u64,
}
