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
async fn a_search_finds_beginnings_of_words_and_ignores_accents_and_case() {
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
        ("ÜNÏQ", vec!["Percent Free"]),
        ("muller", vec!["Jörg Müller"]),
        ("jorg mu", vec!["Jörg Müller"]),
        ("mu\u{308}ll", vec!["Jörg Müller"]),
        ("SUSS", vec!["Jörg Müller"]),
        ("search.ex", vec!["100% Cotton_Co", "Jörg Müller", "O&#39;Neil &#34;Shaq&#34; \\ Co", "Percent Free"]),
        ("JOERG@SEARCH", vec!["Jörg Müller"]),
        ("  müller  ", vec!["Jörg Müller"]),
        ("100%", vec!["100% Cotton_Co"]),
        ("cotton_c", vec!["100% Cotton_Co"]),
        ("n_C", vec![]),
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

/// Case A18 of what other systems send: a person sorts letters, not code points.
#[tokio::test]
async fn the_order_is_that_of_letters_and_its_pages_have_neither_gaps_nor_repeats() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let sorted = ["apple pie", "Apple Tart", "Élodie", "Eloise", "eve", "Zoë", "zoo"];
    for name in sorted.iter().rev() {
        add(&mut olivia, world.acme, &[("name", name), ("company", "Ünder Test")]).await;
    }
    for number in 0..20 {
        let name = format!("{} {number:02}", ["e\u{301}clair", "Eclair", "éclair", "ECLAIR"][number % 4]);
        add(&mut olivia, world.acme, &[("name", &name), ("company", "Ünder Test")]).await;
    }
    let mut all = Vec::new();
    let mut next = Some(format!("{}?q=under+test", world.acme.contacts()));
    while let Some(address) = next {
        let page = olivia.get(&address).await;
        all.extend(names(&page));
        next = page.body.split('"').find(|part| part.contains("after_id=")).map(|link| link.replace("&#38;", "&"));
    }
    assert_eq!(all.len(), 27, "{all:?}");
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 27, "{all:?}");
    let of_list: Vec<_> = all.iter().filter(|name| sorted.contains(&name.as_str())).collect();
    assert_eq!(of_list, sorted.iter().collect::<Vec<_>>());
    let numbers = |name: &String| name.rsplit(' ').next().unwrap().parse::<usize>().ok();
    let numbers: Vec<_> = all.iter().filter_map(numbers).collect();
    assert_eq!(numbers, (0..20).collect::<Vec<_>>(), "accents and case come after the letters that follow");
    for query in ["élodie", "ELODIE", "Elodie", "e\u{301}lo"] {
        let list = olivia.get(&format!("{}?q={}", world.acme.contacts(), found(query))).await;
        assert!(names(&list).contains(&"Élodie".to_owned()), "{query}: {}", list.text());
    }

    let renamed = olivia.get(&format!("{}?q=zoe", world.acme.contacts())).await;
    let url = renamed.body.split('"').find(|part| part.contains("/contacts/") && !part.ends_with("/new")).unwrap();
    let form = [("name", "Quirin"), ("version", "1")];
    assert_eq!(olivia.post(url, &form).await.status, 303);
    for (query, expected) in [("zoe", vec![]), ("under", vec![]), ("quirin", vec!["Quirin"])] {
        let list = olivia.get(&format!("{}?q={query}&after=q", world.acme.contacts())).await;
        let here: Vec<_> = names(&list).into_iter().filter(|name| name == "Quirin" || name == "Zoë").collect();
        assert_eq!(here, expected, "{query}: what is found is what it is now");
    }
    assert_eq!(olivia.post(&format!("{url}/delete"), &[]).await.status, 303);
    let list = olivia.get(&format!("{}?q=quirin", world.acme.contacts())).await;
    assert!(names(&list).is_empty(), "{}", list.text());
}

#[tokio::test]
async fn members_are_found_and_sorted_alike() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    world.new_members(world.acme, &["Zoë Ahrens", "Élodie Blanc", "eve adams"]).await;
    let members = format!("{}/members", world.acme.url());
    let list = olivia.get(&members).await.body;
    let places: Vec<_> =
        ["Élodie Blanc", "eve adams", "Zoë Ahrens"].iter().map(|name| list.find(name).unwrap()).collect();
    assert!(places.is_sorted(), "{places:?}");
    for (query, name) in [("zoe", "Zoë Ahrens"), ("BLA", "Élodie Blanc"), ("elodie b", "Élodie Blanc")] {
        let found = olivia.get(&format!("{members}?q={}", found(query))).await;
        assert!(found.body.contains(name) && !found.body.contains("eve adams"), "{query}: {}", found.text());
    }
}
