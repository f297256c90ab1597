//! Which intervals hold which points in time, found in one pass over both.

/// For each point (in ascending order) calls `visit` with the indices of the intervals, given in
/// ascending order of their start, that hold it. Bounds are included.
pub(super) fn sweep(
    points: impl IntoIterator<Item = i64>,
    intervals: &[(i64, i64)],
    mut visit: impl FnMut(usize, &[usize]),
) {
    let mut next = 0;
    let mut running: Vec<usize> = Vec::new();
    for (at, point) in points.into_iter().enumerate() {
        while intervals.get(next).is_some_and(|(from, _)| *from <= point) {
            running.push(next);
            next += 1;
        }
        running.retain(|&interval| intervals[interval].1 >= point);
        visit(at, &running);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_point_sees_the_intervals_that_hold_it() {
        let intervals = [(0, 10), (2, 3), (5, 5), (11, 20)];
        let mut seen = Vec::new();
        sweep([0, 3, 5, 11, 30], &intervals, |at, inside| {
            seen.push((at, inside.to_vec()));
        });
        assert_eq!(
            seen,
            [
                (0, vec![0]),
                (1, vec![0, 1]),
                (2, vec![0, 2]),
                (3, vec![3]),
                (4, vec![])
            ]
        );
    }
}
