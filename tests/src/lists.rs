//! Lists that are longer than a page: their cursors, and what they say of what they do not show.

use std::pin::Pin;

use uuid::Uuid;

use crate::harness::{Answer, Client, World};

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

/// Copies the row with this id, or of this organization where that is its key, with other values in some columns.
async fn copy(world: &World, table: &str, id: Uuid, others: &str, times: i64) {
    let key = if table == "tenant.organizations" { "tenant_id" } else { "id" };
    // Each name is another one.
    let named = ["tenant.workspaces", "tenant.api_clients"].contains(&table);
    let others =
        if named { format!("{others}, 'name_key', sha256(gen_random_uuid()::text::bytea)") } else { others.to_owned() };
    let sql = format!(
        "insert into {table}
         select r.* from {table} t, generate_series(1, $2) n
          cross join lateral jsonb_populate_record(t, jsonb_build_object('nth', n, {others})) r where t.{key} = $1"
    );
    let copied = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(id).bind(times);
    let copied = copied.execute(&mut world.database.owner().await).await.unwrap().rows_affected();
    assert_eq!(copied, u64::try_from(times).unwrap(), "{table}");
}

async fn says(client: &mut Client, page: &str, sentence: &str) -> bool {
    let page = client.get(page).await;
    assert_eq!(page.status, 200, "{}", page.text());
    page.body.contains(sentence)
}

/// A list that shows only a limited number of rows, and says so. The tests of its feature register it.
pub(crate) struct TruncatedList {
    pub(crate) page: fn(&World) -> String,
    pub(crate) sentence: &'static str,
    pub(crate) most: i64,
    /// The table of its rows, and a query that counts those of the list.
    pub(crate) table: &'static str,
    pub(crate) counted: &'static str,
    /// Makes a row, which is then copied.
    pub(crate) make: for<'a> fn(&'a World) -> Pin<Box<dyn Future<Output = Uuid> + 'a>>,
    /// The columns whose values must differ in each copy, with `id` left out.
    pub(crate) others: &'static str,
}

inventory::collect!(TruncatedList);

#[tokio::test]
async fn a_list_that_is_not_shown_to_its_end_says_so() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    for list in inventory::iter::<TruncatedList>() {
        let (page, id) = ((list.page)(&world), (list.make)(&world).await);
        let missing = list.most - world.database.count(list.counted).await;
        let others = format!("'id', gen_random_uuid(){}", list.others);
        copy(&world, list.table, id, &others, missing).await;
        assert!(!says(&mut olivia, &page, list.sentence).await, "{page} shows all");
        copy(&world, list.table, id, &others, 1).await;
        assert!(says(&mut olivia, &page, list.sentence).await, "{page} does not show all");
    }
}

#[tokio::test]
async fn so_do_those_of_somebody_in_many_organizations_and_of_an_organization_with_many_people() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let more = async |times: i64| {
        copy(
            &world,
            "tenant.organizations",
            world.acme.organization,
            "'tenant_id', gen_random_uuid(), 'name', 'Copy'",
            times,
        )
        .await;
    };
    let join = async |subject: &str| {
        let sql = "insert into tenant.memberships (tenant_id, user_id, role)
                   select tenant_id, $1, 'owner' from tenant.organizations where name = 'Copy' on conflict do nothing";
        let join = sqlx::query(sql).bind(world.user(subject).await);
        join.execute(&mut world.database.owner().await).await.unwrap();
    };
    let invite = async || {
        let sql =
            "insert into tenant.invitations (tenant_id, id, email, role, invited_by, inviter_role, created_at, expires_at, notified)
             select m.tenant_id, gen_random_uuid(), 'olivia@example.com', 'viewer', m.user_id, m.role, $1, $1 + interval '7 days', true
               from tenant.memberships m join tenant.organizations o using (tenant_id) where o.name = 'Copy'
             on conflict do nothing";
        let invite = sqlx::query(sql).bind(world.clock.now());
        invite.execute(&mut world.database.owner().await).await.unwrap();
    };
    for (times, cut) in [(100, false), (1, true)] {
        more(times).await;
        join("carl").await;
        invite().await;
        assert_eq!(says(&mut olivia, "/invitations", "Only the newest 100 are shown.").await, cut);
    }

    let hers =
        "select count(*) from tenant.memberships m join identity.accounts a using (user_id) where a.subject = 'olivia'";
    let missing = 500 - 101 - world.database.count(hers).await;
    for (times, cut) in [(missing, false), (1, true)] {
        more(times).await;
        join("olivia").await;
        assert_eq!(says(&mut olivia, "/organizations", "Only the first 500 are shown, by name.").await, cut);
    }

    let theirs =
        "select count(*) from tenant.memberships join tenant.organizations o using (tenant_id) where o.name = 'Acme'";
    let missing = usize::try_from(500 - world.database.count(theirs).await).unwrap();
    let activity = format!("{}/activity", world.acme.url());
    for (times, cut) in [(missing, false), (1, true)] {
        world.new_members(world.acme, &vec!["Somebody"; times]).await;
        let sentence = "Only the first 500 people can be chosen, by name.";
        assert_eq!(says(&mut olivia, &activity, sentence).await, cut);
    }
}
