use askama::Template;

/// What is between the texts of combined emails.
pub(crate) const RULE: &str = "----------";

/// The text of an email as HTML: the same words, and links where the text has an address on a line of its own.
///
/// It loads nothing and has no pictures, so that opening it tells nobody.
#[derive(Template)]
#[template(path = "mail/layout.html")]
pub(crate) struct HtmlMail<'a> {
    pub(crate) subject: &'a str,
    pub(crate) text: &'a str,
}

impl HtmlMail<'_> {
    /// Only our templates begin a line with an address: names that people chose are within a sentence.
    fn is_link(line: &str) -> bool {
        (line.starts_with("https://") || line.starts_with("http://")) && !line.contains(char::is_whitespace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_html_says_the_text_and_escapes_it() {
        let text = "In “<b>&\"”, https://evil.example is a name.\nMore:\nhttps://app.example/x?a=1&b=2\n\n----------\n\nEnd.\n";
        let html = HtmlMail { subject: "<i>", text }.render().unwrap();
        let body = html.split_once("<h1>").unwrap().1;
        assert!(body.starts_with("&#60;i&#62;</h1>"), "{body}");
        assert!(body.contains("In “&#60;b&#62;&#38;&#34;”, https://evil.example is a name.<br>More:<br>"), "{body}");
        let link = "<a href=\"https://app.example/x?a=1&#38;b=2\">https://app.example/x?a=1&#38;b=2</a></p>";
        assert!(body.contains(link), "{body}");
        assert_eq!((body.matches("<a ").count(), body.matches("<hr>").count(), body.matches("<p>").count()), (1, 1, 2));
        assert!(!html.contains("src=") && !html.contains("url("), "{html}");
    }
}
