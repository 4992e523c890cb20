use sqlx::{Executor, PgConnection};

use super::{Answer, World};

impl World {
    /// Lets two requests continue at the same time, once both wait for a lock of `owner` or for each other.
    pub(crate) async fn race(
        &self,
        mut owner: PgConnection,
        one: impl Future<Output = Answer>,
        other: impl Future<Output = Answer>,
    ) -> [Answer; 2] {
        let begin = async {
            self.until_blocked(2).await;
            owner.execute("rollback").await.unwrap();
        };
        let (one, other, ()) = tokio::join!(one, other, begin);
        [one, other]
    }

    /// As `race`, for two requests that each add one where there is room for one: with a lock that keeps both from adding,
    /// and neither from counting. Returns their statuses, the lower first.
    pub(crate) async fn race_for_one_place(
        &self,
        lock: &'static str,
        one: impl Future<Output = Answer>,
        other: impl Future<Output = Answer>,
    ) -> [u16; 2] {
        let mut owner = self.database.session().await;
        owner.execute("begin").await.unwrap();
        owner.execute(lock).await.unwrap();
        let mut statuses = self.race(owner, one, other).await.map(|answer| answer.status);
        statuses.sort_unstable();
        statuses
    }
}
