//! One-to-one assignment over a sparse graph: the best total, and how much worse every alternative is.
//!
//! Rows may stay unmatched at a price of their own, columns may stay unmatched for nothing, so there
//! is always a solution. Invariant: the duals stay feasible (no reduced cost below zero), which is
//! what makes both the optimum and the margins exact.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};

/// Alternatives that are worse by more than this many nats count for nothing: e^-12 of the best.
const HORIZON: f64 = 12.0;
/// Most nodes that one search for an alternative visits. Beyond it the neighbourhood is so crowded
/// that no margin is worth having.
const SEARCH_LIMIT: usize = 4_000;

/// A sparse assignment problem.
#[derive(Debug, Default)]
pub(super) struct Problem {
    // For each row its (column, cost), in any order, each column at most once.
    edges: Vec<Vec<(usize, f64)>>,
    // For each row the cost of leaving it unmatched.
    alone: Vec<f64>,
    columns: usize,
}

/// What the best total assignment does with one row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Choice {
    /// The row's column; `None` when it stays unmatched.
    pub(super) column: Option<usize>,
    /// Weight of the best total assignment against the best ones in which this row does something
    /// else, 0 to 1.
    pub(super) confidence: f64,
    /// The column of the best of those others.
    pub(super) runner_up: Option<usize>,
}

impl Problem {
    pub(super) fn new(columns: usize) -> Self {
        Self {
            columns,
            ..Self::default()
        }
    }

    /// Adds a row that costs `alone` when it stays unmatched. Costs are negative log-likelihoods.
    pub(super) fn add_row(&mut self, alone: f64, edges: Vec<(usize, f64)>) {
        self.edges.push(edges);
        self.alone.push(alone);
    }

    /// Finds the best total assignment and, for each row, its margin.
    pub(super) fn solve(&self) -> Vec<Choice> {
        let mut state = State::new(self);
        for row in 0..self.edges.len() {
            state.augment(row);
        }
        let to_free = state.distances_to_free();
        (0..self.edges.len())
            .map(|row| state.judge(row, &to_free))
            .collect()
    }
}

/// A partial solution. Unmatched rows own their private "alone" column, which is never contested, so
/// it needs no number: its dual is 0.
struct State<'a> {
    problem: &'a Problem,
    column_of: Vec<Option<usize>>,
    row_of: Vec<Option<usize>>,
    // Dual of each row and column; a free column's is 0, a taken one's at most 0.
    u: Vec<f64>,
    v: Vec<f64>,
    // For each column the rows that have an edge to it, with the edge's cost.
    into: Vec<Vec<(usize, f64)>>,
}

impl<'a> State<'a> {
    fn new(problem: &'a Problem) -> Self {
        let mut into = vec![Vec::new(); problem.columns];
        for (row, edges) in problem.edges.iter().enumerate() {
            for &(column, cost) in edges {
                into[column].push((row, cost));
            }
        }
        Self {
            problem,
            column_of: vec![None; problem.edges.len()],
            row_of: vec![None; problem.columns],
            u: vec![0.0; problem.edges.len()],
            v: vec![0.0; problem.columns],
            into,
        }
    }

    /// Brings one more row in by the cheapest chain of moves (Dijkstra over reduced costs).
    fn augment(&mut self, row: usize) {
        // The first row enters with a dual that makes its cheapest option tight.
        let (cheapest, option) = self.cheapest(row);
        self.u[row] = cheapest;
        if option.is_none_or(|column| self.row_of[column].is_none()) {
            self.take(row, option);
            return;
        }
        let mut reached = Reached::default();
        let mut heap = BinaryHeap::from([Visit {
            cost: 0.0,
            node: row,
        }]);
        reached.insert(row, (0.0, None));
        let mut done: Vec<(usize, f64)> = Vec::new();
        let mut best = (f64::INFINITY, row, None);
        while let Some(Visit { cost, node }) = heap.pop() {
            if cost >= best.0 {
                break;
            }
            if reached.cost(node).is_some_and(|known| known < cost) {
                continue;
            }
            done.push((node, cost));
            let alone = cost + self.problem.alone[node] - self.u[node];
            if alone < best.0 {
                best = (alone, node, None);
            }
            for &(column, price) in &self.problem.edges[node] {
                if self.column_of[node] == Some(column) {
                    continue;
                }
                let next = cost + (price - self.u[node] - self.v[column]).max(0.0);
                match self.row_of[column] {
                    None if next < best.0 => best = (next, node, Some(column)),
                    Some(owner) if next < best.0 && reached.improves(owner, next) => {
                        reached.insert(owner, (next, Some((node, column))));
                        heap.push(Visit {
                            cost: next,
                            node: owner,
                        });
                    }
                    _ => {}
                }
            }
        }
        self.apply(&done, best, &reached);
    }

    /// A row's cheapest option by the duals as they stand.
    fn cheapest(&self, row: usize) -> (f64, Option<usize>) {
        let mut best = (self.problem.alone[row], None);
        for &(column, price) in &self.problem.edges[row] {
            let cost = price - self.v[column];
            if cost < best.0 {
                best = (cost, Some(column));
            }
        }
        best
    }

    fn take(&mut self, row: usize, column: Option<usize>) {
        self.column_of[row] = column;
        if let Some(column) = column {
            self.row_of[column] = Some(row);
        }
    }

    /// Moves the duals so that the chain is tight, then moves the rows along the chain.
    fn apply(
        &mut self,
        done: &[(usize, f64)],
        (total, last, end): (f64, usize, Option<usize>),
        reached: &Reached,
    ) {
        for &(row, cost) in done {
            self.u[row] += total - cost;
            if let Some(column) = self.column_of[row] {
                self.v[column] -= total - cost;
            }
        }
        let (mut row, mut column) = (last, end);
        loop {
            self.take(row, column);
            let Some((before, through)) = reached.came_from(row) else {
                break;
            };
            (row, column) = (before, Some(through));
        }
    }

    /// For each row, what it costs at least to send it elsewhere when its column is taken from it
    /// and nothing may be freed for it.
    fn distances_to_free(&self) -> Vec<f64> {
        let mut distance: Vec<f64> = (0..self.problem.edges.len())
            .map(|row| self.nearest_free(row))
            .collect();
        let start = |(node, &cost): (usize, &f64)| Visit { cost, node };
        let mut heap: BinaryHeap<_> = distance.iter().enumerate().map(start).collect();
        while let Some(Visit { cost, node }) = heap.pop() {
            if cost > distance[node] || cost > HORIZON {
                continue;
            }
            let Some(column) = self.column_of[node] else {
                continue;
            };
            for &(row, price) in &self.into[column] {
                let next = cost + self.reduced(row, column, price);
                if row != node && next < distance[row] {
                    distance[row] = next;
                    heap.push(Visit {
                        cost: next,
                        node: row,
                    });
                }
            }
        }
        distance
    }

    /// What it costs a row to go where nobody is.
    fn nearest_free(&self, row: usize) -> f64 {
        let mut best = f64::INFINITY;
        if self.column_of[row].is_some() {
            best = self.problem.alone[row] - self.u[row];
        }
        for &(column, price) in &self.problem.edges[row] {
            if self.row_of[column].is_none() {
                best = best.min(price - self.u[row]);
            }
        }
        best.max(0.0)
    }

    fn reduced(&self, row: usize, column: usize, price: f64) -> f64 {
        (price - self.u[row] - self.v[column]).max(0.0)
    }

    /// Weighs what the best assignment does with a row against everything else it could do.
    fn judge(&self, row: usize, to_free: &[f64]) -> Choice {
        let own = self.column_of[row];
        let (back, complete) = match own {
            Some(column) => self.distances_to(column, row),
            None => (Reached::default(), true),
        };
        let freed = own.map_or(0.0, |column| self.cost_of_freeing(column, &back));
        let mut rest = 0.0;
        let mut runner_up = (f64::INFINITY, None);
        let mut weigh = |margin: f64, column: Option<usize>| {
            rest += (-margin.max(0.0)).exp();
            if margin < runner_up.0 {
                runner_up = (margin, column);
            }
        };
        if own.is_some() {
            weigh(self.problem.alone[row] - self.u[row] + freed, None);
        }
        for &(column, price) in &self.problem.edges[row] {
            if own == Some(column) {
                continue;
            }
            let onward = match self.row_of[column] {
                None => freed,
                Some(owner) => {
                    let cycle = back.cost(owner).unwrap_or(f64::INFINITY);
                    cycle.min(to_free[owner] + freed)
                }
            };
            weigh(self.reduced(row, column, price) + onward, Some(column));
        }
        Choice {
            column: own,
            confidence: if complete { 1.0 / (1.0 + rest) } else { 0.0 },
            runner_up: runner_up.1,
        }
    }

    /// What it costs when a column's row leaves it for something that nobody had: the column stays
    /// free (and gives its negative dual back), or a chain of rows moves up into it.
    fn cost_of_freeing(&self, column: usize, back: &Reached) -> f64 {
        let left_behind = |row: usize| self.column_of[row].map_or(0.0, |column| -self.v[column]);
        let moves_up = back
            .0
            .iter()
            .map(|(&row, &(cost, _))| cost + left_behind(row));
        moves_up.fold(-self.v[column], f64::min)
    }

    /// What it costs the rows nearby to get at `column` by a chain of moves that leaves `without`
    /// out; and whether the search was complete within the horizon.
    fn distances_to(&self, column: usize, without: usize) -> (Reached, bool) {
        let mut reached = Reached::default();
        let mut heap = BinaryHeap::new();
        let enter = |at: usize, base: f64, reached: &mut Reached, heap: &mut BinaryHeap<_>| {
            for &(row, price) in &self.into[at] {
                let next = base + self.reduced(row, at, price);
                if row != without && next <= HORIZON && reached.improves(row, next) {
                    reached.insert(row, (next, None));
                    heap.push(Visit {
                        cost: next,
                        node: row,
                    });
                }
            }
        };
        enter(column, 0.0, &mut reached, &mut heap);
        let mut visits = 0;
        while let Some(Visit { cost, node }) = heap.pop() {
            visits += 1;
            if visits > SEARCH_LIMIT {
                return (reached, false);
            }
            if reached.cost(node).is_some_and(|known| known < cost) {
                continue;
            }
            if let Some(taken) = self.column_of[node] {
                enter(taken, cost, &mut reached, &mut heap);
            }
        }
        (reached, true)
    }
}

/// Rows that a search has reached: at what cost, and from where through which column.
#[derive(Default)]
struct Reached(HashMap<usize, (f64, Option<(usize, usize)>)>);

impl Reached {
    fn insert(&mut self, row: usize, at: (f64, Option<(usize, usize)>)) {
        self.0.insert(row, at);
    }

    fn cost(&self, row: usize) -> Option<f64> {
        self.0.get(&row).map(|&(cost, _)| cost)
    }

    fn improves(&self, row: usize, cost: f64) -> bool {
        self.cost(row).is_none_or(|known| cost < known)
    }

    fn came_from(&self, row: usize) -> Option<(usize, usize)> {
        self.0.get(&row).and_then(|&(_, from)| from)
    }
}

/// An entry of a search's queue, cheapest first.
#[derive(PartialEq)]
struct Visit {
    cost: f64,
    node: usize,
}

impl Eq for Visit {}

impl PartialOrd for Visit {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Visit {
    fn cmp(&self, other: &Self) -> Ordering {
        other
            .cost
            .total_cmp(&self.cost)
            .then_with(|| other.node.cmp(&self.node))
    }
}

#[cfg(test)]
mod tests;
