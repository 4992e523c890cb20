use devkit::mailbox::Message;

/// Fails unless the HTML of a mail has the words and the links of its text, and nothing that a mail program loads.
pub(crate) fn assert_same(mail: &Message) {
    let Message { text, html, subject, .. } = mail;
    let (head, body) = html.split_once("<h1>").unwrap_or_else(|| panic!("{subject} has no HTML"));
    let (heading, body) = body.split_once("</h1>").unwrap();
    assert_eq!(words(heading), Vec::from_iter(subject.split_whitespace()));
    let said: Vec<&str> = text.split_whitespace().filter(|word| *word != "----------").collect();
    assert_eq!(words(body), said, "{html}");
    let links: Vec<String> =
        body.split("href=\"").skip(1).map(|rest| unescaped(rest.split_once('"').unwrap().0)).collect();
    let addresses: Vec<&str> = text.lines().filter(|line| line.starts_with("http")).collect();
    assert_eq!(links, addresses, "{html}");
    assert!(!["src=", "url(", "@import", "<link", "<script"].iter().any(|part| html.contains(part)), "{head}");
}

/// The words of HTML, without its elements.
fn words(html: &str) -> Vec<String> {
    let text: String =
        html.replace("<br>", " ").split('<').map(|part| part.split_once('>').map_or(part, |(_, text)| text)).collect();
    unescaped(&text).split_whitespace().map(str::to_owned).collect()
}

fn unescaped(html: &str) -> String {
    [("&#60;", "<"), ("&#62;", ">"), ("&#34;", "\""), ("&#39;", "'"), ("&#38;", "&")]
        .iter()
        .fold(html.to_owned(), |text, (entity, character)| text.replace(entity, character))
}
