//! The report of the benchmark: costs from the log of the product, and the table of all figures.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use super::data::{CONTACTS, TENANTS};
use super::lane::Run;
use super::{CONNECTIONS, DATABASE_CONNECTIONS, Failure, RUNS};

/// One run of each lane: the whole product, the hand-written pages, only the transaction and binding of the product, and the bare
/// query.
pub(super) struct Runs {
    pub(super) product: Run,
    pub(super) hand_written: Run,
    pub(super) bound: Run,
    pub(super) bare: Run,
}

/// The times of guards and tokens in the log of the product, in microseconds.
pub(super) struct Costs {
    guard: Vec<u64>,
    /// The guard without the decision.
    session: Vec<u64>,
    decision: Vec<u64>,
    token: Vec<u64>,
}

impl Costs {
    pub(super) fn read(log: &Path) -> Result<Self, Failure> {
        let mut costs = Self { guard: Vec::new(), session: Vec::new(), decision: Vec::new(), token: Vec::new() };
        for line in fs::read_to_string(log)?.lines().filter(|line| line.contains("guard_micros")) {
            let line: serde_json::Value = serde_json::from_str(line)?;
            let (guard, decision) = (line["span"]["guard_micros"].as_u64(), line["span"]["decision_micros"].as_u64());
            costs.guard.extend(guard);
            costs.decision.extend(decision);
            costs.session.extend(guard.zip(decision).map(|(guard, decision)| guard.saturating_sub(decision)));
            costs.token.extend(line["span"]["token_micros"].as_u64());
        }
        costs.guard.sort_unstable();
        costs.session.sort_unstable();
        costs.decision.sort_unstable();
        costs.token.sort_unstable();
        Ok(costs)
    }
}

/// All figures of a benchmark.
pub(super) struct Report {
    pub(super) runs: Vec<Runs>,
    pub(super) memory_mb: u64,
    pub(super) start_time: Duration,
    pub(super) costs: Costs,
    pub(super) sign_ins: Run,
}

impl Report {
    /// The figures as a table.
    pub(super) fn table(&self) -> String {
        let mut lines = format!(
            "\nContacts list, 20 rows, {TENANTS} organizations x {CONTACTS} contacts, {CONNECTIONS} connections, {DATABASE_CONNECTIONS} to the database, median of {RUNS} runs\n\n"
        );
        for Row { what, figures } in self.rows() {
            let [product, hand_written, bound, bare, ratio, goal] = figures;
            let _ = writeln!(
                lines,
                "  {what:26} {product:>12} {hand_written:>12} {bound:>12} {bare:>12} {ratio:>8}   {goal}"
            );
        }
        lines
    }

    fn rows(&self) -> Vec<Row> {
        let head = ["everything", "hand-written", "bound only", "bare", "ratio", "wanted"].map(str::to_owned);
        let mut rows = vec![
            Row { what: String::new(), figures: head },
            self.compared("requests per second", |run| run.per_second, rate, "at least 0.60"),
            self.compared("p99", |run| run.p99_ms, time, "at most 1.50"),
            Row::single("peak memory", format!("{} MB", self.memory_mb), "at most 80 MB"),
            Row::single("start to ready", format!("{} ms", self.start_time.as_millis()), "under 1000 ms"),
        ];
        rows.extend(self.costs.rows());
        let sign_ins = [format!("{:.0}/s", self.sign_ins.per_second), time(self.sign_ins.p99_ms)];
        rows.push(Row::pair("sign-ins with passkey, p99", sign_ins));
        rows
    }

    /// A row with the median of each lane, and the ratio of the product to the hand-written pages.
    fn compared(&self, what: &str, figure: fn(&Run) -> f64, text: fn(f64) -> String, goal: &str) -> Row {
        let median = |lane: fn(&Runs) -> &Run| median(self.runs.iter().map(|runs| figure(lane(runs))).collect());
        let (product, hand_written) = (median(|runs| &runs.product), median(|runs| &runs.hand_written));
        let (bound, bare) = (median(|runs| &runs.bound), median(|runs| &runs.bare));
        let ratio = format!("{:.2}", product / hand_written);
        let figures = [text(product), text(hand_written), text(bound), text(bare), ratio, goal.to_owned()];
        Row { what: what.to_owned(), figures }
    }
}

impl Costs {
    fn rows(&self) -> impl Iterator<Item = Row> {
        let percentile = |sorted: &[u64], part: usize| sorted.get(sorted.len() * part / 100).copied().unwrap_or(0);
        [
            ("guard", &self.guard),
            ("of it, session and place", &self.session),
            ("of it, policy decision", &self.decision),
            ("token verification", &self.token),
        ]
        .into_iter()
        .map(move |(what, sorted)| {
            let figures = [50, 99].map(|part| format!("{} us", percentile(sorted, part)));
            Row::pair(&format!("{what}, p50 and p99"), figures)
        })
    }
}

/// A row of the table: the four lanes, the ratio, and the goal.
struct Row {
    what: String,
    figures: [String; 6],
}

impl Row {
    /// A row with one figure.
    fn single(what: &str, figure: String, goal: &str) -> Self {
        let none = String::new;
        Self { what: what.to_owned(), figures: [figure, none(), none(), none(), none(), goal.to_owned()] }
    }

    /// A row with two figures.
    fn pair(what: &str, [first, second]: [String; 2]) -> Self {
        let none = String::new;
        Self { what: what.to_owned(), figures: [first, second, none(), none(), none(), none()] }
    }
}

fn rate(figure: f64) -> String {
    format!("{figure:.0}")
}

fn time(figure: f64) -> String {
    format!("{figure:.1} ms")
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
