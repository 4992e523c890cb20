//! Lists that are longer than a page: their cursors.

use uuid::Uuid;

use crate::harness::{Answer, World};

/// The rows of a list, as the page has them.
fn rows(list: &Answer) -> &str {
    assert_eq!(list.status, 200, "{}", list.text());
    list.body.split_once("<tbody").map_or("", |(_, rest)| rest.split_once("</tbody>").unwrap().0)
}

// control: TEN-02
#[tokio::test]
async fn a_cursor_is_a_place_in_the_order_whether_or_not_there_is_a_row_at_it() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let theirs = [world.contact(world.globex).await, world.user("gus").await];
    let lists = [world.acme.contacts(), format!("{}/members", world.acme.url())];
    for (list, foreign) in lists.iter().zip(theirs) {
        let all = olivia.get(list).await;
        for name in ["", "Carl", "Gus", "no such name", "\u{10ffff}"] {
            let name: String = url::form_urlencoded::byte_serialize(name.as_bytes()).collect();
            let after = |id: Uuid| format!("{list}?after={name}&after_id={id}");
            let (of_them, of_nobody) = (olivia.get(&after(foreign)).await, olivia.get(&after(Uuid::now_v7())).await);
            assert_eq!(rows(&of_them), rows(&of_nobody), "{list} after {name}");
        }
        for before in [format!("{list}?after_id={foreign}"), format!("{list}?after_id={}", Uuid::max())] {
            assert_eq!(rows(&olivia.get(&before).await), rows(&all), "an id alone is before every name");
        }
        let behind = olivia.get(&format!("{list}?after=%F4%8F%BF%BF")).await;
        assert!(behind.body.contains("You have reached the end of the list."), "{}", behind.text());
        assert!(behind.body.contains("rel=\"first\"") && !behind.body.contains("rel=\"next\""), "{}", behind.text());
    }
}
