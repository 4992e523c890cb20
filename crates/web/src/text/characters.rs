//! Which characters belong to a spelling, and which ones deceive.

use icu_properties::props::{
    BidiClass, CanonicalCombiningClass, DefaultIgnorableCodePoint, ExtendedPictographic, GeneralCategory, JoiningType,
    NoncharacterCodePoint, PrependedConcatenationMark, Script, UnifiedIdeograph,
};
use icu_properties::{CodePointMapData, CodePointSetData};
use unicode_normalization::UnicodeNormalization;

/// The maximum number of combining marks in a row. More marks cover the lines above and below. No language needs so
/// many.
const MAX_COMBINING_MARKS: usize = 8;
/// Invisible characters that are not `Default_Ignorable_Code_Point`: the empty braille pattern, the null notehead, the
/// Khitan filler.
const BLANK: [char; 3] = ['\u{2800}', '\u{1d159}', '\u{16fe4}'];
/// The flags that are spelled as tags after the black flag (UTS #51, `RGI_Emoji_Tag_Sequence`).
const FLAGS: [&str; 3] = ["gbeng", "gbsct", "gbwls"];

/// Returns text in the form that is compared and stored (NFC).
pub(super) fn composed(text: &str) -> String {
    text.nfc().collect()
}

/// Returns the position of the first character that is not allowed.
///
/// Characters that are invisible or that reorder text are refused: controls, bidirectional overrides and isolates,
/// tags, default ignorables, private use. Joiners and marks are allowed where they belong to a spelling: between
/// letters that they join or separate (RFC 5892, A.1 and A.2; UAX #31, 2.3) and in emoji (UTS #51). Direction marks are
/// allowed in text with right-to-left letters.
pub(super) fn first_hidden(text: &[char]) -> Option<usize> {
    let rtl = text.iter().any(|c| {
        let class = CodePointMapData::<BidiClass>::new().get(*c);
        c.is_alphabetic() && (class == BidiClass::RightToLeft || class == BidiClass::ArabicLetter)
    });
    (0..text.len()).find(|&at| {
        let (before, after) = (&text[..at], &text[at + 1..]);
        !is_spelling(text[at], before, after, rtl)
    })
}

fn is_spelling(c: char, before: &[char], after: &[char], rtl: bool) -> bool {
    match c {
        '\u{200b}' => has(before.last(), has_no_spaces) && has(after.first(), has_no_spaces),
        '\u{200c}' => has(before.last(), is_virama) || keeps_apart(before, after),
        '\u{200d}' => {
            has(before.last(), is_virama)
                || has(before.last(), char::is_alphabetic) && has(after.first(), is_virama)
                || has(before.last(), in_emoji) && has(after.first(), is_pictograph)
        }
        '\u{200e}' | '\u{200f}' | '\u{61c}' => rtl,
        '\u{fe0e}' | '\u{fe0f}' => {
            has(before.last(), is_pictograph)
                || has(before.last(), |c| matches!(c, '0'..='9' | '#' | '*')) && after.first() == Some(&'\u{20e3}')
        }
        '\u{fe00}'..='\u{fe0d}' | '\u{e0100}'..='\u{e01ef}' => has(before.last(), is_ideograph),
        '\u{180b}'..='\u{180f}' => has(before.last(), |c| script(c) == Script::Mongolian && c.is_alphabetic()),
        '\u{e0061}'..='\u{e007f}' => is_flag(c, before, after),
        c if is_mark(c) => {
            !(before.len() >= MAX_COMBINING_MARKS && before.iter().rev().take(MAX_COMBINING_MARKS).all(|c| is_mark(*c)))
        }
        c => !deceives(c),
    }
}

/// Whether no text needs this character.
fn deceives(c: char) -> bool {
    let general = CodePointMapData::<GeneralCategory>::new().get(c);
    let formats =
        general == GeneralCategory::Format && !CodePointSetData::new::<PrependedConcatenationMark>().contains(c);
    formats
        || matches!(
            general,
            GeneralCategory::Control
                | GeneralCategory::PrivateUse
                | GeneralCategory::LineSeparator
                | GeneralCategory::ParagraphSeparator
        )
        || is_ignorable(c)
        || CodePointSetData::new::<NoncharacterCodePoint>().contains(c)
        || BLANK.contains(&c)
}

fn has(c: Option<&char>, is: impl FnOnce(char) -> bool) -> bool {
    c.is_some_and(|c| is(*c))
}

pub(super) fn is_ignorable(c: char) -> bool {
    CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
}

fn is_virama(c: char) -> bool {
    CodePointMapData::<CanonicalCombiningClass>::new().get(c) == CanonicalCombiningClass::Virama
}

/// Whether the letters would join without the character between them. Transparent characters are skipped (RFC 5892,
/// A.1).
fn keeps_apart(before: &[char], after: &[char]) -> bool {
    let joining = |c: &char| CodePointMapData::<JoiningType>::new().get(*c);
    let seen = |kind: &JoiningType| *kind != JoiningType::Transparent;
    let left = before.iter().rev().map(joining).find(seen);
    let right = after.iter().map(joining).find(seen);
    matches!(left, Some(JoiningType::LeftJoining | JoiningType::DualJoining))
        && matches!(right, Some(JoiningType::RightJoining | JoiningType::DualJoining))
}

fn script(c: char) -> Script {
    CodePointMapData::<Script>::new().get(c)
}

/// Whether the letter belongs to a script without spaces between words. Such text marks where a line may break.
fn has_no_spaces(c: char) -> bool {
    matches!(script(c), Script::Khmer | Script::Lao | Script::Myanmar | Script::Thai | Script::Tibetan)
}

fn is_ideograph(c: char) -> bool {
    CodePointSetData::new::<UnifiedIdeograph>().contains(c)
}

fn is_pictograph(c: char) -> bool {
    CodePointSetData::new::<ExtendedPictographic>().contains(c)
}

fn in_emoji(c: char) -> bool {
    is_pictograph(c) || matches!(c, '\u{fe0f}' | '\u{1f3fb}'..='\u{1f3ff}')
}

fn is_mark(c: char) -> bool {
    let general = CodePointMapData::<GeneralCategory>::new().get(c);
    !is_ignorable(c) && matches!(general, GeneralCategory::NonspacingMark | GeneralCategory::EnclosingMark)
}

fn is_flag(c: char, before: &[char], after: &[char]) -> bool {
    let tag = |c: &char| ('\u{e0061}'..='\u{e007f}').contains(c);
    let start = before.iter().rposition(|c| !tag(c));
    let black_flag = start.is_some_and(|start| before[start] == '\u{1f3f4}');
    let tags =
        before.iter().skip(start.map_or(0, |start| start + 1)).chain([&c]).chain(after.iter().take_while(|c| tag(c)));
    let letters: Option<String> = tags.map(|c| char::from_u32(u32::from(*c) - 0xe_0000)).collect();
    black_flag
        && letters.is_some_and(|letters| letters.strip_suffix('\u{7f}').is_some_and(|flag| FLAGS.contains(&flag)))
}

/// Makes external text safe to display: in NFC, without deceptive characters, with at most `most` characters.
#[must_use]
pub fn visible(text: &str, most: usize) -> String {
    let within = |text: &str| text.chars().take(most).collect::<String>();
    let text: String = text.chars().take(most.saturating_mul(4)).collect();
    let shown = within(&without_hidden(&text));
    // Truncation may cut an emoji, or a word with a joiner.
    without_hidden(&shown).trim().to_owned()
}

fn without_hidden(text: &str) -> String {
    let mut chars: Vec<char> = text.nfc().collect();
    while let Some(at) = first_hidden(&chars) {
        chars.remove(at);
        // Characters may now compose, or may no longer be joined.
        chars = chars.into_iter().nfc().collect();
    }
    chars.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(text: &str) -> Option<usize> {
        first_hidden(&text.nfc().collect::<Vec<_>>())
    }

    #[test]
    fn joiners_marks_and_emoji_are_spelling() {
        for text in [
            "علی\u{200c}رضا",
            "می\u{200c}خواهم",
            "ශ\u{dca}\u{200d}රී",
            "ක\u{dca}\u{200d}ෂ",
            "न्\u{200d}",
            "क्\u{200c}ष",
            "র\u{200d}\u{9cd}যাব",
            "👨\u{200d}👩\u{200d}👧",
            "👩🏽\u{200d}⚕\u{fe0f}",
            "❤\u{fe0f}\u{200d}🔥",
            "1\u{fe0f}\u{20e3}",
            "🏴\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}",
            "\u{200f}محمد\u{200f} (C++\u{200e})",
            "שלום\u{200f}!",
            "葛\u{e0100}城",
            "ក\u{200b}ខ",
            "Zoe\u{308}",
            "ẹ\u{302}\u{301}",
            "\u{600}12",
            "Apple & Söhne – “x”",
        ] {
            assert_eq!(hidden(text), None, "{text:?}");
        }
    }

    #[test]
    fn what_cannot_be_seen_is_found() {
        for text in [
            "a\0b",
            "a\nb",
            "a\u{7f}b",
            "a\u{85}b",
            "a\u{ad}b",
            "a\u{34f}b",
            "a\u{61c}b",
            "a\u{115f}b",
            "a\u{17b4}b",
            "a\u{180e}b",
            "a\u{200b}b",
            "a\u{200c}b",
            "a\u{200d}b",
            "a\u{200e}b",
            "a\u{200f}b",
            "a\u{2028}b",
            "a\u{202a}b",
            "a\u{202e}b",
            "a\u{2060}b",
            "a\u{2064}b",
            "a\u{2066}b",
            "a\u{2069}b",
            "a\u{206f}b",
            "a\u{2800}b",
            "a\u{3164}b",
            "a\u{fe00}b",
            "a\u{fe0f}b",
            "a\u{feff}b",
            "a\u{ffa0}b",
            "a\u{fff9}b",
            "a\u{fffe}b",
            "a\u{1bca0}b",
            "a\u{1d159}b",
            "a\u{1d173}b",
            "a\u{e000}b",
            "a\u{e0001}b",
            "a\u{e0041}b",
            "a\u{e007f}b",
            "a\u{e0100}b",
            "a\u{10ffff}b",
            "1\u{fe0f}",
            "\u{fe0f}",
            "\u{200d}",
            "👨\u{200d}",
            "👨\u{fe0f}\u{fe0f}",
            "علی\u{200c}",
            "علی\u{200c}\u{200c}رضا",
            "ශ\u{dca}\u{200d}\u{200d}රී",
            "\u{202e}محمد",
            "🏴\u{e0067}\u{e0062}\u{e0061}\u{e007f}",
            "🏴\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}",
            "a\u{301}\u{302}\u{303}\u{304}\u{305}\u{306}\u{307}\u{308}\u{309}\u{30a}",
        ] {
            assert!(hidden(text).is_some(), "{text:?}");
        }
    }

    #[test]
    fn what_is_shown_of_foreign_text_is_acceptable_and_keeps_its_spelling() {
        assert_eq!(visible("Ann\u{0}\r\nSet-Cookie\u{202e}", 120), "AnnSet-Cookie");
        assert_eq!(visible("علی\u{200c}رضا", 120), "علی\u{200c}رضا");
        assert_eq!(visible("Zoe\u{308}", 120), "Zoë");
        assert_eq!(visible("a\u{ad}\u{301}", 120), "á");
        assert_eq!(visible("👨\u{200d}👩\u{200d}👧", 2), "👨");
        for text in
            ["\u{202e}\u{200c}علی\u{200c}\u{202e}رضا\u{200d}", "\u{3164}\u{fe0f}", "a\u{200d}\u{ad}👨\u{200d}\u{ad}👩"]
        {
            for most in 0..12 {
                let shown = visible(text, most);
                assert_eq!(hidden(&shown), None, "{shown:?}");
                assert_eq!(visible(&shown, most), shown);
            }
        }
    }
}
