//! The list: its order, its pages, and what a search finds.

use std::collections::BTreeSet;

use super::{add, names};
use crate::harness::World;

fn found(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

#[tokio::test]
async fn the_list_is_by_name_and_its_pages_have_neither_gaps_nor_repeats() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    for _ in 0..25 {
        add(&mut olivia, world.acme, &[("name", "Bruno Keller")]).await;
    }
    let (mut next, mut all, mut links, mut sizes) =
        (Some(world.acme.contacts()), Vec::new(), BTreeSet::new(), Vec::new());
    while let Some(address) = next {
        let page = olivia.get(&address).await;
        let here = names(&page);
        sizes.push(here.len());
        all.extend(here);
        links.extend(
            page.body
                .split('"')
                .filter(|part| part.contains("/contacts/") && !part.ends_with("/new"))
                .map(str::to_owned),
        );
        assert_eq!(page.body.contains("rel=\"first\""), sizes.len() > 1);
        next = page.body.split('"').find(|part| part.contains("after_id=")).map(|link| link.replace("&#38;", "&"));
    }
    assert_eq!(sizes, [20, 20, 19], "34 of the seed and 25 of the same name");
    assert_eq!(links.len(), 59, "each once");
    let mut sorted = all.clone();
    sorted.sort();
    assert_eq!(all, sorted);
}

#[tokio::test]
async fn a_search_takes_words_as_they_are_whatever_their_case() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    for (name, email, company) in [
        ("Jörg Müller", "joerg@search.example", "Bäckerei Süß"),
        ("100% Cotton_Co", "cotton@search.example", ""),
        ("O'Neil \"Shaq\" \\ Co", "shaq@search.example", ""),
        ("Percent Free", "free@search.example", "Ünïque"),
    ] {
        add(&mut olivia, world.acme, &[("name", name), ("email", email), ("company", company)]).await;
    }
    for (query, expected) in [
        ("müller", vec!["Jörg Müller"]),
        ("MÜLLER", vec!["Jörg Müller"]),
        ("bäckerei", vec!["Jörg Müller"]),
        ("ÜNÏ", vec!["Percent Free"]),
        ("JOERG@SEARCH", vec!["Jörg Müller"]),
        ("  müller  ", vec!["Jörg Müller"]),
        ("100%", vec!["100% Cotton_Co"]),
        ("n_C", vec!["100% Cotton_Co"]),
        ("%otton", vec![]),
        ("c_tton", vec![]),
        ("o'neil", vec!["O&#39;Neil &#34;Shaq&#34; \\ Co"]),
        ("\"shaq\"", vec!["O&#39;Neil &#34;Shaq&#34; \\ Co"]),
        ("\\", vec!["O&#39;Neil &#34;Shaq&#34; \\ Co"]),
        ("' or 1=1 --", vec![]),
    ] {
        let list = olivia.get(&format!("{}?q={}", world.acme.contacts(), found(query))).await;
        assert_eq!(names(&list), expected, "{query}: {}", list.text());
    }
    let nothing = olivia.get(&format!("{}?q=%3Cb%3Enobody", world.acme.contacts())).await;
    assert!(nothing.body.contains("value=\"&#60;b&#62;nobody\""), "what was sought stays in its field");
}

#[tokio::test]
async fn a_search_keeps_its_words_from_page_to_page_and_stays_in_its_workspace() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    for number in 0..21 {
        add(&mut olivia, world.acme, &[("name", &format!("Ä & Ö {number:02}"))]).await;
    }
    let first = olivia.get(&format!("{}?q={}", world.acme.contacts(), found("ä & ö"))).await;
    assert_eq!(names(&first).len(), 20);
    let next = first.body.split('"').find(|part| part.contains("after_id=")).unwrap().replace("&#38;", "&");
    assert_eq!(names(&olivia.get(&next).await), ["Ä &#38; Ö 20"]);

    let made = olivia.post(&format!("{}/workspaces", world.acme.url()), &[("name", "Second")]).await;
    assert_eq!(made.status, 303);
    let home = olivia.get(&world.acme.url()).await.body;
    let second = home
        .split('"')
        .find(|part| part.ends_with("/contacts") && !part.contains(&world.acme.workspace.to_string()))
        .unwrap()
        .to_owned();
    let empty = olivia.get(&second).await;
    assert!(names(&empty).is_empty() && empty.body.contains("No contacts yet"), "{}", empty.text());
    let id = world.contact(world.acme).await;
    assert_eq!(olivia.get(&format!("{second}/{id}")).await.status, 404, "of the other workspace");
}
