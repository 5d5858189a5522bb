//! The order of a pipeline's jobs, and the cycles that would keep it from having one.

use std::collections::BTreeSet;

/// Positions in topological order: what is needed first, otherwise as given. Positions on cycles, and those
/// that need them, are left out.
pub(super) fn order(needs: &[BTreeSet<usize>]) -> Vec<usize> {
    let mut order = Vec::with_capacity(needs.len());
    let mut placed = vec![false; needs.len()];
    while let Some(next) = (0..needs.len())
        .find(|position| !placed[*position] && needs[*position].iter().all(|needed| placed[*needed]))
    {
        placed[next] = true;
        order.push(next);
    }
    order
}

/// Cycles that no two share a position, each as a path along "is needed by".
pub(super) fn cycles(needs: &[BTreeSet<usize>]) -> Vec<Vec<usize>> {
    let mut free: BTreeSet<usize> = (0..needs.len()).collect();
    let mut cycles = Vec::new();
    loop {
        // What remains after this needs something that remains, so that a walk must come back to itself.
        while let Some(end) = free.iter().copied().find(|at| needs[*at].is_disjoint(&free)) {
            free.remove(&end);
        }
        let Some(start) = free.first().copied() else { return cycles };
        let mut path = vec![start];
        let mut at = start;
        while let Some(next) = needs[at].intersection(&free).next().copied() {
            if let Some(begin) = path.iter().position(|seen| *seen == next) {
                let mut cycle = path.split_off(begin);
                cycle.reverse();
                free.retain(|position| !cycle.contains(position));
                cycles.push(cycle);
                break;
            }
            path.push(next);
            at = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(edges: &[&[usize]]) -> Vec<BTreeSet<usize>> {
        edges.iter().map(|needs| needs.iter().copied().collect()).collect()
    }

    #[test]
    fn what_is_needed_comes_first_and_the_rest_stays_in_place() {
        assert_eq!(order(&graph(&[&[2], &[], &[1], &[]])), [1, 2, 0, 3]);
        assert!(cycles(&graph(&[&[2], &[], &[1], &[]])).is_empty());
    }

    #[test]
    fn every_separate_cycle_is_found_once() {
        let graph = graph(&[&[1], &[2], &[0], &[0], &[5], &[4], &[]]);
        let mut found = cycles(&graph);
        found.iter_mut().for_each(|cycle| cycle.sort_unstable());
        assert_eq!(found, [vec![0, 1, 2], vec![4, 5]]);
        assert_eq!(order(&graph), [6]);
    }
}
