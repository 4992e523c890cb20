/// A challenge to a client. The solution is a number below 2^32. As four bytes after the last 32 bytes of the challenge, it
/// yields a SHA-256 that begins with the required zero bits. The client submits it in the fields `challenge` and `solution`
/// of the same form.
#[derive(Clone, Debug)]
pub struct ProofOfWork {
    /// The challenge, in base64url.
    pub challenge: String,
    /// Required zero bits. It takes 2^bits hashes on average.
    pub bits: u32,
    /// Seconds after which the request is possible without a solution.
    pub wait: u64,
}
