//! The validation part of a train split, on which the probe's penalty is chosen.
//!
//! The test split is never looked at for this. Where groups (patients, slides) are
//! known, a group lies on one side only; otherwise the parts are stratified by class.
//! The same (seed, labels, groups) always gives the same parts.

use std::collections::BTreeMap;

use counterstain_tile::random::Stream;

use super::error::{Result, invalid, same_length, undefined};

/// Indices of both parts, each rising.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    /// What candidates are fitted on.
    pub fit: Vec<usize>,
    /// What they are compared on.
    pub validation: Vec<usize>,
    /// Whether groups were kept whole.
    pub by_group: bool,
}

/// Numbers groups by first occurrence; a sample whose group is not known is a group of
/// its own. `None` when no group is known.
#[must_use]
pub fn group_ids(groups: &[Option<String>]) -> Option<Vec<usize>> {
    if groups.iter().all(Option::is_none) {
        return None;
    }
    let mut known = BTreeMap::new();
    let mut next = 0;
    let mut fresh = || {
        next += 1;
        next - 1
    };
    Some(
        groups
            .iter()
            .map(|group| match group {
                None => fresh(),
                Some(name) => *known.entry(name.as_str()).or_insert_with(&mut fresh),
            })
            .collect(),
    )
}

/// Splits off about `fraction` of the samples for validation.
///
/// With groups that cannot be divided so that every class stays in both the fit part
/// and, as far as possible, the validation part (a single group, say), the parts are
/// stratified by sample and `by_group` is false.
///
/// # Errors
/// When lengths differ, `fraction` is not inside 0..1, or there are fewer than two
/// samples in every class.
pub fn validation_parts(
    labels: &[usize],
    groups: Option<&[usize]>,
    fraction: f64,
    seed: u64,
) -> Result<Parts> {
    if !(fraction > 0.0 && fraction < 1.0) {
        return Err(invalid("validation fraction", format!("{fraction} is not between 0 and 1")));
    }
    let mut chosen = None;
    if let Some(groups) = groups {
        same_length("the groups", labels.len(), groups.len())?;
        chosen = whole_groups(labels, groups, fraction, seed);
    }
    let by_group = chosen.is_some();
    let chosen = chosen.unwrap_or_else(|| stratified(labels, fraction, seed));
    let part = |wanted: bool| (0..labels.len()).filter(|&index| chosen[index] == wanted).collect::<Vec<_>>();
    let parts = Parts { fit: part(false), validation: part(true), by_group };
    if parts.validation.is_empty() || parts.fit.is_empty() {
        return Err(undefined("the validation part", "no class of the train split has two samples"));
    }
    Ok(parts)
}

/// In each class, the first of a random order; a class with one sample stays in the
/// fit part.
fn stratified(labels: &[usize], fraction: f64, seed: u64) -> Vec<bool> {
    let mut chosen = vec![false; labels.len()];
    let classes = labels.iter().max().map_or(0, |&label| label + 1);
    for class in 0..classes {
        let mut members: Vec<usize> = (0..labels.len()).filter(|&index| labels[index] == class).collect();
        if members.len() < 2 {
            continue;
        }
        Stream::new(seed, "validation samples", &[class as u64]).shuffle(&mut members);
        let count = ((members.len() as f64 * fraction).round() as usize).clamp(1, members.len() - 1);
        members[..count].iter().for_each(|&index| chosen[index] = true);
    }
    chosen
}

/// Takes groups in a random order as long as each brings the class counts of the
/// validation part closer to their targets.
fn whole_groups(labels: &[usize], groups: &[usize], fraction: f64, seed: u64) -> Option<Vec<bool>> {
    let classes = labels.iter().max().map_or(0, |&label| label + 1);
    let count = groups.iter().max().map_or(0, |&group| group + 1);
    let mut totals = vec![0_u64; classes];
    let mut of_group = vec![vec![0_u64; classes]; count];
    for (&label, &group) in labels.iter().zip(groups) {
        totals[label] += 1;
        of_group[group][label] += 1;
    }
    // Squared relative distance from the wanted share of each class.
    let cost = |taken: &[u64]| -> f64 {
        taken
            .iter()
            .zip(&totals)
            .filter(|(_, total)| **total > 0)
            .map(|(&taken, &total)| (taken as f64 / total as f64 - fraction).powi(2))
            .sum()
    };
    let leaves_every_class =
        |taken: &[u64]| taken.iter().zip(&totals).all(|(&taken, &total)| total == 0 || taken < total);
    let with = |taken: &[u64], group: usize| -> Vec<u64> {
        taken.iter().zip(&of_group[group]).map(|(taken, own)| taken + own).collect()
    };
    let mut order: Vec<usize> = Stream::new(seed, "validation groups", &[])
        .permutation(count)
        .into_iter()
        .filter(|&g| of_group[g].iter().any(|&n| n > 0))
        .collect();
    if order.len() < 2 {
        return None;
    }
    // Large groups first: small ones then even out what they leave.
    order.sort_by_key(|&group| std::cmp::Reverse(of_group[group].iter().sum::<u64>()));
    let mut taken = vec![0_u64; classes];
    let mut selected = vec![false; count];
    for &group in &order {
        let next = with(&taken, group);
        if leaves_every_class(&next) && cost(&next) < cost(&taken) {
            taken = next;
            selected[group] = true;
        }
    }
    if !selected.contains(&true) {
        // Every group is larger than twice the target: take the one that overshoots least.
        let best = order
            .iter()
            .copied()
            .filter(|&group| leaves_every_class(&of_group[group]))
            .min_by(|&a, &b| cost(&of_group[a]).total_cmp(&cost(&of_group[b])))?;
        selected[best] = true;
    }
    Some(groups.iter().map(|&group| selected[group]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn samples_without_a_group_stand_alone() {
        let name = |text: &str| Some(text.to_owned());
        assert_eq!(group_ids(&[name("a"), None, name("b"), name("a"), None]), Some(vec![0, 1, 2, 0, 3]));
        assert_eq!(group_ids(&[None, None]), None);
    }

    #[test]
    fn one_group_falls_back_to_samples() {
        let parts = validation_parts(&[0, 1, 0, 1, 0, 1], Some(&[0; 6]), 0.3, 1).unwrap();
        assert!(!parts.by_group);
        assert_eq!(parts.validation.len(), 2);
    }

    #[test]
    fn nothing_to_split_is_an_error() {
        assert!(validation_parts(&[0, 1], None, 0.25, 1).is_err());
        assert!(validation_parts(&[0, 0], None, 1.0, 1).is_err());
        assert!(validation_parts(&[], None, 0.5, 1).is_err());
    }

    proptest! {
        #[test]
        fn groups_stay_whole_and_every_class_can_be_fitted(
            samples in prop::collection::vec((0_usize..3, 0_usize..8), 12..80), seed in 0_u64..50
        ) {
            let (labels, groups): (Vec<usize>, Vec<usize>) = samples.into_iter().unzip();
            let Ok(parts) = validation_parts(&labels, Some(&groups), 0.25, seed) else { return Ok(()) };
            prop_assert_eq!(parts.fit.len() + parts.validation.len(), labels.len());
            prop_assert_eq!(&parts, &validation_parts(&labels, Some(&groups), 0.25, seed).unwrap());
            if parts.by_group {
                for &index in &parts.validation {
                    prop_assert!(parts.fit.iter().all(|&other| groups[other] != groups[index]));
                }
            }
            for &label in &labels {
                prop_assert!(parts.fit.iter().any(|&index| labels[index] == label));
            }
        }

        #[test]
        fn without_groups_each_class_keeps_its_share(labels in prop::collection::vec(0_usize..4, 40..200), seed in 0_u64..9) {
            let parts = validation_parts(&labels, None, 0.25, seed).unwrap();
            for class in 0..4 {
                let all = labels.iter().filter(|&&label| label == class).count() as f64;
                let taken = parts.validation.iter().filter(|&&index| labels[index] == class).count() as f64;
                prop_assert!(all < 2.0 || (taken - all * 0.25).abs() <= 1.0);
            }
        }
    }
}
