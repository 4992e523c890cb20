//! Signatures that others have collected, given to what verifies ours: see `tests/vectors`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::VerifyingKey;
use serde::Deserialize;
use serde_json::json;

use crate::dpop::Jwk;
use crate::{jwt, signed};

#[derive(Deserialize)]
struct Vectors {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    /// Of all its signatures.
    #[serde(default)]
    key: String,
    /// Length of the codes, in bits.
    #[serde(rename = "tagSize", default)]
    tag_size: usize,
    tests: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    id: u32,
    #[serde(default)]
    key: String,
    msg: String,
    #[serde(alias = "tag")]
    sig: String,
    result: String,
}

impl Vectors {
    /// Each case with its group.
    fn each(text: &str, expected: usize, check: impl Fn(&Group, &Case)) {
        let vectors: Self = serde_json::from_str(text).unwrap();
        let cases = vectors.groups.iter().flat_map(|group| group.tests.iter().map(move |case| (group, case)));
        assert_eq!(cases.inspect(|(group, case)| check(group, case)).count(), expected);
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

// control: IDN-16
#[test]
fn ed25519_signatures_of_wycheproof_are_taken_or_refused_as_it_says() {
    Vectors::each(include_str!("../../../tests/vectors/ed25519.json"), 151, |group, case| {
        let (key, msg, sig) = (bytes(&group.key), bytes(&case.msg), bytes(&case.sig));
        let valid = case.result == "valid";
        let published = VerifyingKey::try_from(&key[..]).unwrap();
        assert_eq!(jwt::is_signed(&published, &msg, &sig), valid, "of an access token: {}", case.id);
        let jwk: Jwk =
            serde_json::from_value(json!({ "kty": "OKP", "crv": "Ed25519", "x": jwt::encode(&key) })).unwrap();
        assert_eq!(jwk.thumbprint_if_signed("Ed25519", &msg, &sig).is_some(), valid, "of a proof: {}", case.id);
    });
}

// control: IDN-17
#[test]
fn es256_signatures_of_wycheproof_are_taken_or_refused_as_it_says() {
    Vectors::each(include_str!("../../../tests/vectors/ecdsa_p256_sha256.json"), 262, |group, case| {
        let (key, msg, sig) = (bytes(&group.key), bytes(&case.msg), bytes(&case.sig));
        let (x, y) = (jwt::encode(&key[1..33]), jwt::encode(&key[33..]));
        let jwk: Jwk = serde_json::from_value(json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y })).unwrap();
        let taken = jwk.thumbprint_if_signed("ES256", &msg, &sig).is_some();
        assert_eq!(taken, case.result == "valid", "{}", case.id);
    });
}

// control: API-03
#[test]
fn hmac_codes_of_wycheproof_are_taken_or_refused_as_it_says_and_only_whole() {
    Vectors::each(include_str!("../../../tests/vectors/hmac_sha256.json"), 174, |group, case| {
        let (key, msg, tag) = (bytes(&case.key), bytes(&case.msg), bytes(&case.sig));
        let taken = signed::is_signed(&key, &msg, &tag).unwrap();
        assert_eq!(taken, case.result == "valid" && group.tag_size == 256, "{}", case.id);
    });
}

// control: API-03
#[test]
fn the_hmac_example_of_rfc_9421_is_a_signature_for_us() {
    // Appendices B.1.5 and B.2.5.
    let key = "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==";
    let components = [
        ("date", "Tue, 20 Apr 2021 02:07:55 GMT".to_owned()),
        ("@authority", "example.com".to_owned()),
        ("content-type", "application/json".to_owned()),
    ];
    let params = "(\"date\" \"@authority\" \"content-type\");created=1618884473;keyid=\"test-shared-secret\"";
    let mac = STANDARD.decode("pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=").unwrap();
    let key = STANDARD.decode(key).unwrap();
    let is_signed = |params: &str, mac: &[u8]| {
        signed::is_signed(&key, signed::signature_base(&components, params).as_bytes(), mac).unwrap()
    };
    assert!(is_signed(params, &mac));
    assert!(!is_signed(&params.replace("473", "474"), &mac), "another moment");
    assert!(!is_signed(params, &mac[..31]), "a part of it");
}
