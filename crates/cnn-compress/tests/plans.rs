//! What plans leave, and what they refuse.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use cnn_compress::{Criterion, Error, Groups, Importance, Plan, Scope, Selection, Target, without};
use cnn_models::{ModelConfig, Network};

use common::small::Small;

fn resnet() -> (Network, Groups, Importance) {
    let network = Network::new("resnet20_cifar10", &ModelConfig::default(), 0).unwrap();
    let groups = Groups::of(&network).unwrap();
    let scores = Criterion::L2.scores(&groups, network.store()).unwrap();
    let importance = scores.importance(&groups);
    (network, groups, importance)
}

/// The share of the target's quantity that a selection leaves.
fn share(groups: &Groups, target: Target, selection: &Selection) -> f64 {
    let [left, whole] = [selection.clone(), Selection::all(groups)].map(|selection| {
        let size = groups.size(&selection);
        match target {
            Target::Channels(_) => size.channels as f64,
            Target::MultiplyAdds(_) => size.multiply_adds as f64,
            _ => size.parameters as f64,
        }
    });
    left / whole
}

#[test]
fn targets_are_reached_and_hardly_passed() {
    let (_, groups, importance) = resnet();
    for scope in [Scope::Global, Scope::PerGroup] {
        for target in [
            Target::Channels(0.6),
            Target::MultiplyAdds(0.5),
            Target::Parameters(0.3),
            Target::MultiplyAdds(1.),
        ] {
            let plan = Plan::new(target).with_scope(scope);
            let selection = plan.select(&groups, &importance).unwrap();
            let left = share(&groups, target, &selection);
            // One unit more would have been enough in any case.
            let wanted = target.share();
            assert!(
                left <= wanted && left > wanted - 0.03,
                "{scope:?} {target:?}: {left}"
            );
        }
    }
}

#[test]
fn the_least_important_units_go() {
    let (_, groups, importance) = resnet();
    let selection = Plan::new(Target::Channels(0.7)).with_most_removed(1.);
    let selection = selection.select(&groups, &importance).unwrap();
    let scores = importance.scores();
    let gone = selection
        .removed()
        .map(|unit| scores[unit])
        .fold(0., f64::max);
    for group in groups.groups() {
        let stay = group.numbers().filter(|&unit| selection.stays(unit));
        let least = stay.map(|unit| scores[unit]).fold(f64::INFINITY, f64::min);
        assert!(
            least >= gone || selection.left_of(group) == 1,
            "{least} stays, {gone} went"
        );
    }
    // Each group of its own loses the same share.
    let plan = Plan::new(Target::Channels(0.7)).with_scope(Scope::PerGroup);
    let selection = plan.select(&groups, &importance).unwrap();
    for group in groups.groups() {
        let left = selection.left_of(group) as f64 / group.units.len() as f64;
        assert!((0.6..0.8).contains(&left), "{:?}: {left}", group.layers);
    }
}

#[test]
fn widths_are_multiples_where_there_are_as_many() {
    let (network, groups, importance) = resnet();
    let plan = Plan::new(Target::MultiplyAdds(0.5)).with_multiple(8);
    let selection = plan.select(&groups, &importance).unwrap();
    let smaller = without(&network, &groups, &selection).unwrap();
    let widths = &smaller.config().model.widths;
    assert!(
        widths.len() > 5 && widths.values().all(|width| width % 8 == 0),
        "{widths:?}"
    );
    assert!(share(&groups, Target::MultiplyAdds(0.5), &selection) <= 0.5);
}

#[test]
fn caps_and_ignored_layers_hold() {
    let (_, groups, importance) = resnet();
    let plan = Plan::new(Target::Parameters(0.5))
        .with_ignored("layer2.1")
        .with_cap("layer3.2.conv1", 0.25);
    let selection = plan.select(&groups, &importance).unwrap();
    let mut checked = 0;
    for group in groups.groups() {
        let left = selection.left_of(group);
        if group
            .layers
            .iter()
            .any(|layer| layer.starts_with("layer2.1."))
        {
            assert_eq!(left, group.units.len(), "{:?}", group.layers);
            checked += 1;
        }
        if group.layers == ["layer3.2.conv1"] {
            assert!(left >= 48, "{left}");
            checked += 1;
        }
    }
    assert!(checked >= 3, "{checked}");
}

#[test]
fn steps_lead_to_the_target() {
    let (network, _, _) = resnet();
    let mut network = network;
    let whole = network.spec().multiply_adds as f64;
    let plan = Plan::new(Target::MultiplyAdds(0.4));
    let mut shares = Vec::new();
    for step in plan.steps(3) {
        let groups = Groups::of(&network).unwrap();
        let scores = Criterion::Lamp.scores(&groups, network.store()).unwrap();
        let selection = step.select(&groups, &scores.importance(&groups)).unwrap();
        network = without(&network, &groups, &selection).unwrap();
        shares.push(groups.size(&selection).multiply_adds as f64 / whole);
    }
    for (share, wanted) in shares.iter().zip([0.8, 0.6, 0.4]) {
        assert!((wanted - 0.06..=wanted).contains(share), "{shares:?}");
    }
}

#[test]
fn what_cannot_be_is_refused() {
    let (_, groups, importance) = resnet();
    let refused = |plan: Plan| plan.select(&groups, &importance).unwrap_err();
    let error = refused(Plan::new(Target::Parameters(0.001)));
    let Error::Unreachable { least, .. } = error else {
        panic!("{error}");
    };
    // What is said to be the least can be reached.
    let plan = Plan::new(Target::Parameters(least));
    let selection = plan.select(&groups, &importance).unwrap();
    assert!((share(&groups, plan.target(), &selection) - least).abs() < 1e-12);

    let error = refused(Plan::new(Target::Channels(1.5)));
    assert_eq!(
        error.to_string(),
        "the target is 1.5, expected a share from 0 to 1"
    );
    let error = refused(Plan::new(Target::Channels(f64::NAN)));
    assert!(matches!(error, Error::Share { .. }), "{error}");
    let error = refused(Plan::new(Target::Channels(0.5)).with_ignored("layer9"));
    assert!(matches!(error, Error::NoLayer { .. }), "{error}");

    let (store, others) = Small::of_formula();
    let scores = Criterion::L1.scores(&others, &store).unwrap();
    let plan = Plan::new(Target::Channels(0.5));
    let error = plan
        .select(&groups, &scores.importance(&others))
        .unwrap_err();
    assert!(matches!(error, Error::OtherGroups { .. }), "{error}");
}

#[test]
fn a_group_keeps_one_unit() {
    let (network, groups, _) = resnet();
    let mut selection = Selection::all(&groups);
    groups.groups()[0]
        .numbers()
        .for_each(|unit| selection.remove(unit));
    let error = without(&network, &groups, &selection).unwrap_err();
    assert_eq!(
        error.to_string(),
        "conv1: all of its 16 units would go; one has to stay"
    );
}
