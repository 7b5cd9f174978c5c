//! The page of an attack.

use anyhow::Result;
use cnn_data::Image;
use cnn_layers::FeatureMap;
use cnn_robust::defence::Transformed;
use cnn_robust::{AttackResult, AttackedModel, Images, Norm, Normalization};
use cnn_viz::{
    AttackRow, AttackedPicture, Explainer, Fact, Method, Report, RobustnessResults, SizePoint,
    Target, Timing, overlay,
};

use super::printed::{FALSE_ALARMS, limit};
use super::saved::picture;
use super::session::{Fooled, Found, Session};
use crate::byline::byline;

pub(super) fn page(session: &Session<'_>, found: &Found) -> Result<Report> {
    let result = &found.result;
    let worst = result.worst_interval()?;
    let percent = |share: f64| format!("{:.1}\u{a0}%", 100. * share);
    let threat = session.settings.threat;
    let diagnosis = found.diagnosis.as_ref();
    let alarms = diagnosis.map_or(0, |diagnosis| diagnosis.alarms.len());
    let mut summary = vec![
        Fact::new("without an attack", percent(result.clean_top1())).with_note("right"),
        Fact::new("under the worst attack", percent(result.worst_top1())).with_note(format!(
            "right; 95 % interval {} to {}",
            percent(worst.low),
            percent(worst.high)
        )),
        Fact::new("changes up to", limit(Some(threat)))
            .with_note(in_levels(threat.norm, threat.eps)),
        Fact::new("images", result.samples.to_string()).with_note(session.data.clone()),
    ];
    if diagnosis.is_some() {
        summary
            .push(Fact::new("alarms", alarms.to_string()).with_note("signs that figures deceive"));
    }
    if let Some(smallest) = &found.smallest {
        let fact = Fact::new("smallest change that fools half", smallest.said(0.5));
        summary.push(fact.with_note(format!(
            "of {} images in {}, by PGD; {} a quarter, {} three quarters",
            smallest.sizes.len(),
            threat.norm,
            smallest.said(0.25),
            smallest.said(0.75)
        )));
    }
    let timing = |attack: &AttackResult| Timing {
        name: attack.name.clone(),
        seconds: attack.seconds,
        images_per_second: (attack.seconds > 0.).then(|| attack.attacked as f64 / attack.seconds),
    };
    let pairs = result.attacks.iter().zip(&found.detected);
    let detected = pairs.filter_map(|(attack, curve)| {
        let curve = curve.as_ref()?;
        let found = percent(curve.true_positive_rate_at(FALSE_ALARMS));
        Some(format!(
            "of the images that {} fools the detector finds {found} at {} false alarms; the area under its ROC curve is {:.3}",
            attack.name,
            percent(FALSE_ALARMS),
            curve.auc()
        ))
    });
    Ok(Report {
        title: format!("{} under attack", session.network.spec().name),
        byline: Some(byline()),
        summary,
        notes: found.notes.iter().cloned().chain(detected).collect(),
        robustness: Some(results(session, found)?),
        skipped: found.skipped.clone(),
        timings: result.attacks.iter().map(timing).collect(),
        ..Report::default()
    })
}

/// A size in L∞ in levels of grey.
fn in_levels(norm: Norm, eps: f64) -> String {
    match norm {
        Norm::Linf => format!("{:.1} of 255 levels in every value", 255. * eps),
        Norm::L2 => "root of the sum of squares over an image".to_string(),
        Norm::L1 => "sum of magnitudes over an image".to_string(),
    }
}

pub(super) fn results(session: &Session<'_>, found: &Found) -> Result<RobustnessResults> {
    let result = &found.result;
    let worst = result.worst_interval()?;
    let row = |attack: &AttackResult| {
        let interval = attack.interval()?;
        Ok(AttackRow {
            name: attack.name.clone(),
            limit: limit(attack.limit),
            robust: [attack.robust_top1(), interval.low, interval.high],
            transferred: attack.transferred_top1(),
            success_rate: attack.success_rate(),
            confidence: attack.reliability.mean_confidence()?,
            calibration_error: attack.reliability.ece()?,
            mean_linf: attack.mean_linf,
            mean_l2: attack.mean_l2,
            queries: attack.queries_per_image(),
            seconds: attack.seconds,
        })
    };
    let point = |point: &cnn_robust::SweepPoint| SizePoint {
        eps: point.eps,
        robust: [point.robust_top1, point.interval.low, point.interval.high],
    };
    let diagnosis = found.diagnosis.as_ref();
    let alarms = diagnosis
        .into_iter()
        .flat_map(|diagnosis| &diagnosis.alarms);
    let pictures = found
        .pictures
        .iter()
        .map(|fooled| attacked_picture(session, fooled));
    Ok(RobustnessResults {
        evaluated_on: format!("{} images of {}", result.samples, session.data),
        clean: result.clean_top1(),
        clean_calibration_error: result.reliability.ece()?,
        worst: [result.worst_top1(), worst.low, worst.high],
        attacks: result.attacks.iter().map(row).collect::<Result<_>>()?,
        alarms: alarms.map(ToString::to_string).collect(),
        diagnosed: diagnosis.map_or(0, |diagnosis| diagnosis.samples),
        sweep: found.sweep.iter().map(point).collect(),
        sweep_of: format!(
            "PGD of 20 steps in {}, on the first {} images",
            session.settings.threat.norm,
            session.options.sweep.min(result.samples)
        ),
        pictures: pictures.collect::<Result<_>>()?,
        ..RobustnessResults::default()
    })
}

fn attacked_picture(session: &Session<'_>, fooled: &Fooled) -> Result<AttackedPicture> {
    let change = fooled.adversarial.minus(&fooled.clean);
    let largest = Norm::Linf.size(change.image(0));
    // The largest change becomes white or black; grey is none.
    let amplified = if largest > 0. { 0.5 / largest } else { 1. };
    let shown = change.map(|value| (0.5 + amplified * value).clamp(0., 1.));
    let bare = session.bare()?;
    let model = Transformed::new(&bare, &session.transforms);
    let prediction = |images: &Images| {
        let logits = model.logits(images)?;
        let class = logits.predictions()[0] as usize;
        Ok::<_, anyhow::Error>((class, logits.probabilities(0)[class]))
    };
    let [before, after] = [prediction(&fooled.clean)?, prediction(&fooled.adversarial)?];
    let name = |class: usize| session.names[class].clone();
    Ok(AttackedPicture {
        path: session.path(fooled.index),
        attack: session.options.attack[fooled.attack].name.to_string(),
        images: [
            picture(&fooled.clean)?,
            picture(&shown)?,
            picture(&fooled.adversarial)?,
        ],
        amplified,
        predictions: [(name(before.0), before.1), (name(after.0), after.1)],
        overlays: Some([
            seen(session, &fooled.clean, before.0)?,
            seen(session, &fooled.adversarial, after.0)?,
        ]),
    })
}

/// Where the network saw a class in an image: Grad-CAM over it.
fn seen(session: &Session<'_>, images: &Images, class: usize) -> Result<Image> {
    let network = session.network;
    let record = network.preprocessing();
    let inputs = Normalization::new(record)?.inputs(images, candle_core::DType::F32)?;
    let inputs = FeatureMap::from_nhwc(&inputs)?;
    let explainer = Explainer::new(network.model());
    let explanation = explainer.explain(Method::GradCam, &inputs, &[Target::class(class)])?;
    // The image is what the network reads: nothing of it is cut away.
    let whole = cnn_core::Preprocessing {
        crop_pct: 1.,
        ..record.clone()
    };
    Ok(overlay(&picture(images)?, &explanation.maps[0], &whole)?)
}
