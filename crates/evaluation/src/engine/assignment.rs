//! Optimal one-to-one assignment (Kuhn–Munkres with potentials, O(n²·m)).
//!
//! Written here because it is forty lines and deterministic: of equal assignments the
//! same one is always found.

/// Finds for each row a distinct column so that the summed cost is lowest. `cost` is
/// row-major `[rows, columns]`. With more rows than columns, the rows that are left
/// over get `None`.
#[must_use]
pub fn minimise(cost: &[f64], rows: usize, columns: usize) -> Vec<Option<usize>> {
    debug_assert_eq!(cost.len(), rows * columns);
    if rows > columns {
        let transposed: Vec<f64> = (0..columns)
            .flat_map(|c| (0..rows).map(move |r| (r, c)))
            .map(|(r, c)| cost[r * columns + c])
            .collect();
        let mut assigned = vec![None; rows];
        for (column, row) in minimise(&transposed, columns, rows).into_iter().enumerate() {
            if let Some(row) = row {
                assigned[row] = Some(column);
            }
        }
        return assigned;
    }
    // Rows and columns count from 1; column 0 stands for "no column yet".
    let mut row_potential = vec![0.0; rows + 1];
    let mut column_potential = vec![0.0; columns + 1];
    let mut row_of = vec![0_usize; columns + 1];
    let mut previous = vec![0_usize; columns + 1];
    for row in 1..=rows {
        row_of[0] = row;
        let mut column = 0;
        let mut slack = vec![f64::INFINITY; columns + 1];
        let mut visited = vec![false; columns + 1];
        loop {
            visited[column] = true;
            let current = row_of[column];
            let (mut delta, mut next) = (f64::INFINITY, 0);
            for candidate in 1..=columns {
                if visited[candidate] {
                    continue;
                }
                let reduced = cost[(current - 1) * columns + candidate - 1]
                    - row_potential[current]
                    - column_potential[candidate];
                if reduced < slack[candidate] {
                    slack[candidate] = reduced;
                    previous[candidate] = column;
                }
                if slack[candidate] < delta {
                    delta = slack[candidate];
                    next = candidate;
                }
            }
            for candidate in 0..=columns {
                if visited[candidate] {
                    row_potential[row_of[candidate]] += delta;
                    column_potential[candidate] -= delta;
                } else {
                    slack[candidate] -= delta;
                }
            }
            column = next;
            if row_of[column] == 0 {
                break;
            }
        }
        while column != 0 {
            let before = previous[column];
            row_of[column] = row_of[before];
            column = before;
        }
    }
    let mut assigned = vec![None; rows];
    for column in 1..=columns {
        if row_of[column] > 0 {
            assigned[row_of[column] - 1] = Some(column - 1);
        }
    }
    assigned
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn brute_force(cost: &[f64], n: usize, row: usize, used: u32) -> f64 {
        if row == n {
            return 0.0;
        }
        (0..n)
            .filter(|column| used & (1 << column) == 0)
            .map(|column| cost[row * n + column] + brute_force(cost, n, row + 1, used | (1 << column)))
            .fold(f64::INFINITY, f64::min)
    }

    proptest! {
        #[test]
        fn no_other_assignment_is_cheaper(values in prop::collection::vec(-20_i32..20, 25)) {
            let cost: Vec<f64> = values.iter().map(|&value| f64::from(value)).collect();
            let found = minimise(&cost, 5, 5);
            let mut columns: Vec<usize> = found.iter().map(|column| column.unwrap()).collect();
            let total: f64 = columns.iter().enumerate().map(|(row, column)| cost[row * 5 + column]).sum();
            prop_assert_eq!(total, brute_force(&cost, 5, 0, 0));
            columns.sort_unstable();
            prop_assert_eq!(columns, vec![0, 1, 2, 3, 4]);
        }
    }

    #[test]
    fn surplus_rows_stay_unassigned() {
        assert_eq!(minimise(&[5.0, 1.0, 3.0], 3, 1), vec![None, Some(0), None]);
        assert_eq!(minimise(&[5.0, 1.0, 3.0], 1, 3), vec![Some(1)]);
        assert!(minimise(&[], 0, 0).is_empty());
    }
}
