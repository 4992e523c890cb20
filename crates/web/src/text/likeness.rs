use sha2::{Digest, Sha256};
use unicode_normalization::UnicodeNormalization;
use unicode_security::skeleton;

use super::characters::is_ignorable;

/// Returns a key that is equal for names that people cannot tell apart: `Olivia`, `OLIVIA`, `0livia`, `OIivia`,
/// `Оlivia` with a Cyrillic letter, and `Oli‎via` with an invisible character. Names that must differ within an
/// organization have different keys. A column stores the key beside the name. Only this function creates the key.
///
/// The key is a hash of skeletons (UTS #39) of the compatible form (NFKC), ignoring case. If the capital of a letter
/// looks like another letter, the capital counts, because names are written in both cases: `i`, `l` and `1` are equal.
/// The key is a hash because a skeleton can be too long for an index.
#[must_use]
pub fn name_key(name: &str) -> [u8; 32] {
    Sha256::digest(likeness(name)).into()
}

fn likeness(name: &str) -> String {
    let plain: String = name.nfkc().filter(|c| !is_ignorable(*c)).collect();
    let words = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    folded(&skeleton(&folded(&words)).collect::<String>())
}

fn folded(text: &str) -> String {
    text.chars().map(fold).collect()
}

fn fold(c: char) -> String {
    let capital: String = c.to_uppercase().collect();
    let seen: String = skeleton(&capital).collect();
    // Several characters in place of one are a decomposed mark. The next skeleton handles the mark.
    let taken = if seen.chars().count() == 1 { seen } else { capital };
    taken.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_cannot_tell_apart_is_alike() {
        for name in [
            "Olivia Owner",
            "olivia owner",
            "OLIVIA OWNER",
            "OIivia Owner",
            "oIivia Owner",
            "0livia 0wner",
            "O1ivia Owner",
            "\u{41e}livia Owner",
            "Olivi\u{430} Owner",
            "Olivi\u{251} \u{41e}wner",
            "Ｏｌｉｖｉａ　Ｏｗｎｅｒ",
            "Olivia\u{a0}Owner",
            "Olivia  Owner",
            " Olivia Owner ",
            "Oli\u{ad}via Owner",
            "Olivia\u{200b} Owner",
            "Oliv\u{131}a Owner",
            "𝒪livia Owner",
            "O|ivia Owner",
            "Olivia \u{39f}wner",
        ] {
            assert_eq!(likeness(name), likeness("Olivia Owner"), "{name}");
        }
        for (one, other) in [
            ("\u{41d}anna", "Hanna"),
            ("\u{41d}\u{251}nna", "hanna"),
            ("АННА", "анна"),
            ("ΣΊΣΥΦΟΣ", "Σίσυφος"),
            ("STRASSE", "straße"),
            ("Zoe\u{308}", "ZOË"),
            ("Modern", "Modem"),
            ("علی\u{200c}رضا", "علیرضا"),
            ("Ⅳ", "IV"),
            ("ﬁnance", "FINANCE"),
        ] {
            assert_eq!(likeness(one), likeness(other), "{one} {other}");
        }
        for (one, other) in [
            ("Olivia", "Olivio"),
            ("Zoë", "Zoe"),
            ("Sales", "Sales 2"),
            ("Адам", "Adam"),
            ("Olivia Owner", "OliviaOwner"),
            ("Main", "Train"),
            ("علی", "رضا"),
            ("木村", "本村"),
        ] {
            assert_ne!(likeness(one), likeness(other), "{one} {other}");
        }
    }
}
