//! The solver against an exhaustive search.

use proptest::prelude::*;

use super::*;

/// Every assignment there is, as (total cost, column of each row).
fn all_assignments(problem: &Problem) -> Vec<(f64, Vec<Option<usize>>)> {
    let mut partial = vec![(0.0, Vec::new())];
    for (edges, alone) in problem.edges.iter().zip(&problem.alone) {
        let mut longer = Vec::new();
        for (cost, columns) in partial {
            let mut push = |extra: f64, column: Option<usize>| {
                let mut columns: Vec<Option<usize>> = columns.clone();
                columns.push(column);
                longer.push((cost + extra, columns));
            };
            push(*alone, None);
            for &(column, price) in edges {
                if !columns.contains(&Some(column)) {
                    push(price, Some(column));
                }
            }
        }
        partial = longer;
    }
    partial
}

/// The best total with row `row` doing each thing that it can do.
fn best_by_choice(problem: &Problem, row: usize) -> Vec<(Option<usize>, f64)> {
    let mut best: Vec<(Option<usize>, f64)> = Vec::new();
    for (cost, columns) in all_assignments(problem) {
        match best.iter_mut().find(|(column, _)| *column == columns[row]) {
            Some((_, known)) => *known = known.min(cost),
            None => best.push((columns[row], cost)),
        }
    }
    best.sort_by(|a, b| a.1.total_cmp(&b.1));
    best
}

fn problems() -> impl Strategy<Value = Problem> {
    let cost = || 0.0..8.0_f64;
    let row = (cost(), prop::collection::vec(prop::option::of(cost()), 5));
    prop::collection::vec(row, 1..6).prop_map(|rows| {
        let mut problem = Problem::new(5);
        for (alone, costs) in rows {
            let edges = costs.into_iter().enumerate();
            problem.add_row(
                alone,
                edges.filter_map(|(at, cost)| Some((at, cost?))).collect(),
            );
        }
        problem
    })
}

proptest! {
    #[test]
    fn every_choice_and_margin_is_that_of_the_exhaustive_search(problem in problems()) {
        for (row, choice) in problem.solve().into_iter().enumerate() {
            let best = best_by_choice(&problem, row);
            let cost_of = |column| best.iter().find(|(at, _)| *at == column).map(|at| at.1);
            let close = |a: f64, b: f64| (a - b).abs() < 1e-6;
            prop_assert!(close(cost_of(choice.column).unwrap(), best[0].1));
            if let Some((_, second)) = best.get(1) {
                prop_assert!(close(cost_of(choice.runner_up).unwrap(), *second));
            }
            let weight: f64 = best.iter().map(|(_, cost)| (best[0].1 - cost).exp()).sum();
            prop_assert!((choice.confidence - 1.0 / weight).abs() < 1e-4, "{row} {choice:?} {best:?}");
        }
    }
}

#[test]
fn two_rows_that_fit_two_columns_equally_well_are_a_coin_toss() {
    let mut problem = Problem::new(2);
    for _ in 0..2 {
        problem.add_row(20.0, vec![(0, 1.0), (1, 1.0)]);
    }
    for choice in problem.solve() {
        assert!((choice.confidence - 0.5).abs() < 1e-6, "{choice:?}");
    }
}

#[test]
fn the_best_total_wins_over_the_best_single_pair() {
    let mut problem = Problem::new(2);
    problem.add_row(20.0, vec![(0, 1.0), (1, 2.0)]);
    problem.add_row(20.0, vec![(0, 1.5), (1, 9.0)]);
    let columns: Vec<_> = problem.solve().iter().map(|c| c.column).collect();
    assert_eq!(columns, [Some(1), Some(0)]);
}

#[test]
fn a_row_without_edges_stays_alone_for_certain() {
    let mut problem = Problem::new(0);
    problem.add_row(3.0, Vec::new());
    assert_eq!(
        problem.solve(),
        [Choice {
            column: None,
            confidence: 1.0,
            runner_up: None
        }]
    );
}
