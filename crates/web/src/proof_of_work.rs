/// A challenge to a client. The solution is a number below 2^32. It is appended, as four big-endian bytes, to the last 32
/// bytes of the challenge. The SHA-256 of the result must begin with the required number of zero bits. The client submits
/// the fields `challenge` and `solution` with the same form.
#[derive(Clone, Debug)]
pub struct ProofOfWork {
    /// The challenge, in base64url.
    pub challenge: String,
    /// The required number of zero bits. It takes 2^bits hashes on average.
    pub bits: u32,
    /// The seconds after which the request is allowed without a solution.
    pub wait: u64,
}
