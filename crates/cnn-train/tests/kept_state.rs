//! What a step keeps beside the trained network: an average of the weights, a second optimiser that
//! takes turns with the first, a teacher. A run that is killed ends in the bytes of a whole one.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

use std::cell::Cell;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use candle_core::{Device, Tensor};
use cnn_core::Key;
use cnn_layers::{Context, Init, Linear, LinearConfig, Mode, Store, backward};
use cnn_train::{
    Epoch, Error, Evaluation, GradientStep, Gradients, Losses, Notice, OptimizerConfig,
    OptimizerPlan, Schedule, ScheduleKind, Step, StepReport, Task, TaskBatches, TrainConfig,
    Trainer, Update, decay_groups, mean_squared_error,
};

const BATCHES: usize = 12;
const EPOCHS: usize = 40;
const KILLS: usize = 20;

/// Points of a plane that the student is to fit.
struct Plane {
    student: Linear,
}

impl Task for Plane {
    type Batch = (Tensor, Tensor);

    fn batches_per_epoch(&self) -> usize {
        BATCHES
    }

    fn batches<'a>(&'a self, epoch: &Epoch) -> Result<TaskBatches<'a, Self::Batch>, Error> {
        let key = epoch.key;
        Ok(Box::new((epoch.start..BATCHES).map(move |batch| {
            let mut xs = vec![0f32; 32 * 4];
            key.at(batch as u64).rng().fill_normal(&mut xs, 0., 1.);
            let ys: Vec<f32> = xs
                .chunks(4)
                .map(|x| x[0] - 2. * x[1] + 0.5 * x[3])
                .collect();
            let xs = Tensor::from_vec(xs, (32, 4), &Device::Cpu)?;
            Ok((xs, Tensor::from_vec(ys, (32, 1), &Device::Cpu)?))
        })))
    }

    fn samples(&self, (xs, _): &Self::Batch) -> usize {
        xs.dims()[0]
    }

    fn loss(&self, (xs, ys): &Self::Batch, cx: &Context<'_>) -> Result<Losses, Error> {
        let answers = self.student.forward(xs, cx)?;
        Ok(Losses::new(mean_squared_error(&answers, ys)?))
    }

    fn evaluate(&self) -> Result<Evaluation, Error> {
        let weights = self.student.weight().flatten_all()?.to_vec1::<f32>()?;
        let error = f64::from((weights[0] - 1.).abs() + (weights[1] + 2.).abs());
        Ok(Evaluation {
            score: -error,
            metrics: vec![("error".to_string(), error)],
        })
    }
}

/// In turn: the student learns from the points and from its teacher, which follows it slowly; the
/// critic, another network with an optimiser of its own, learns to foretell the student's answers.
struct TakingTurns {
    critic: Linear,
    critic_store: Store,
    teacher: Linear,
    teacher_store: Store,
    student_store: Store,
    /// How many updates there were, in a tensor, as everything that is kept.
    turns: Store,
}

impl TakingTurns {
    fn new(student_store: &Store) -> Self {
        let critic_store = Store::new(5);
        let teacher_store = Store::new(6);
        let turns = Store::new(0);
        turns
            .builder(Mode::Eval)
            .buffer("count", &[1], Init::ZEROS)
            .unwrap();
        let layer =
            |store: &Store, mode| LinearConfig::new(4, 1).build(&store.builder(mode)).unwrap();
        Self {
            critic: layer(&critic_store, Mode::Train),
            teacher: layer(&teacher_store, Mode::Eval),
            critic_store,
            teacher_store,
            student_store: student_store.clone(),
            turns,
        }
    }

    fn loss(
        &self,
        task: &Plane,
        batch: &(Tensor, Tensor),
        of_critic: bool,
        cx: &Context<'_>,
    ) -> Result<Tensor, Error> {
        let answers = task.student.forward(&batch.0, cx)?;
        if of_critic {
            return mean_squared_error(&self.critic.forward(&batch.0, cx)?, &answers.detach());
        }
        let taught = self.teacher.forward(&batch.0, cx)?;
        let agreement = mean_squared_error(&answers, &taught)?;
        Ok((task.loss(batch, cx)?.total + (agreement * 0.3)?)?)
    }
}

impl Step<Plane> for TakingTurns {
    fn step(
        &mut self,
        task: &Plane,
        batches: &[(Tensor, Tensor)],
        update: &mut Update<'_>,
    ) -> Result<StepReport, Error> {
        let count = self.turns.get("count")?;
        let of_critic = count.to_vec1::<f32>()?[0] % 2. == 1.;
        self.turns.set("count", &(count + 1.)?)?;
        let loss = self.loss(task, &batches[0], of_critic, &update.context(0))?;
        let value = f64::from(loss.to_scalar::<f32>()?);
        let rates = update.rates;
        let (optimizer, rates) = if of_critic {
            let further = update.further("critic")?;
            (&mut *further.optimizer, further.rates)
        } else {
            (&mut *update.optimizer, rates)
        };
        let gradients = Gradients::take(&mut backward(&loss)?, optimizer);
        let gradient_norm = gradients.norm()?;
        optimizer.step(&gradients, &rates)?;
        for (name, student) in self.student_store.tensors() {
            let teacher = self.teacher_store.get(&name)?;
            self.teacher_store
                .set(&name, &((teacher * 0.9)? + (student * 0.1)?)?)?;
        }
        Ok(StepReport {
            samples: task.samples(&batches[0]),
            values: vec![("loss".to_string(), value)],
            gradient_norm,
        })
    }

    fn kept(&self) -> Vec<(String, Store)> {
        vec![
            ("critic".to_string(), self.critic_store.clone()),
            ("teacher".to_string(), self.teacher_store.clone()),
            ("turns".to_string(), self.turns.clone()),
        ]
    }
}

fn student() -> (Store, Plane) {
    let store = Store::new(3);
    let student = LinearConfig::new(4, 1)
        .build(&store.builder(Mode::Train))
        .unwrap();
    (store, Plane { student })
}

fn trainer<'a>(store: &Store, step: &TakingTurns, directory: &Path) -> Trainer<'a> {
    let config = TrainConfig {
        optimizer: OptimizerConfig::Sgd {
            momentum: 0.5,
            nesterov: false,
        },
        learning_rate: 0.01,
        schedule: Schedule::new(ScheduleKind::Cosine { end: 0. }),
        ema: Some(0.9),
        ..TrainConfig::new(EPOCHS)
    };
    let plan = OptimizerPlan {
        config: OptimizerConfig::adam(),
        groups: decay_groups(step.critic_store.trainable(), 0.),
        learning_rate: 0.05,
        schedule: Schedule::new(ScheduleKind::Step {
            every: 3.,
            gamma: 0.5,
        }),
    };
    Trainer::new(config, store, directory)
        .with_optimizer("critic", plan)
        .with_save_every(Duration::from_millis(3))
}

fn run(directory: &Path) {
    let (store, task) = student();
    let mut step = TakingTurns::new(&store);
    trainer(&store, &step, directory)
        .run(&task, &mut step)
        .unwrap();
}

/// The same in a process that dies without warning, a moment after this many updates.
fn run_and_die(directory: &Path, updates: usize, moment: Duration) {
    let (store, task) = student();
    let mut step = TakingTurns::new(&store);
    let mut done = 0;
    let mut trainer = trainer(&store, &step, directory).with_listener(|notice| {
        done += usize::from(matches!(notice, Notice::Update { .. }));
        if done == updates {
            std::thread::spawn(move || {
                std::thread::sleep(moment);
                std::process::abort();
            });
        }
        // However long that thread is kept waiting, the run does not come to its end.
        if done > updates + 10 {
            loop {
                std::thread::sleep(moment);
            }
        }
    });
    trainer.run(&task, &mut step).unwrap();
}

const DIRECTORY: &str = "KEPT_STATE_TEST_DIRECTORY";
const UPDATES: &str = "KEPT_STATE_TEST_UPDATES";
const MICROSECONDS: &str = "KEPT_STATE_TEST_MICROSECONDS";

/// The process that `a_killed_run_ends_in_the_same_bytes` starts; alone it does nothing.
#[test]
fn process_that_dies() {
    let Some(directory) = std::env::var_os(DIRECTORY) else {
        return;
    };
    let number = |name| -> u64 { std::env::var(name).unwrap().parse().unwrap() };
    let moment = Duration::from_micros(number(MICROSECONDS));
    run_and_die(Path::new(&directory), number(UPDATES) as usize, moment);
}

/// Weights, what was kept, and the logs that hold no clock. The state's text holds seconds, the
/// tensors of the resume file do not.
fn outcome(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let files = [
        "last/model.safetensors",
        "best/model.safetensors",
        "events.jsonl",
    ];
    let read = |file: &str| {
        (
            file.to_string(),
            std::fs::read(directory.join(file)).unwrap(),
        )
    };
    let mut outcome = files.map(read).to_vec();
    let resume = cnn_weights::TensorFile::open(directory.join("resume.safetensors")).unwrap();
    for name in resume.names() {
        let tensor = resume.tensor(name).unwrap();
        let bytes = match tensor.flatten_all().unwrap() {
            tensor if tensor.dtype().is_float() => tensor
                .to_vec1::<f32>()
                .unwrap()
                .iter()
                .flat_map(|x| x.to_le_bytes())
                .collect(),
            tensor => tensor
                .to_vec1::<i64>()
                .unwrap()
                .iter()
                .flat_map(|x| x.to_le_bytes())
                .collect(),
        };
        outcome.push((name.to_string(), bytes));
    }
    outcome
}

fn a_killed_run_ends_in_the_same_bytes(threads: &str) {
    let whole = tempfile::tempdir().unwrap();
    let parts = tempfile::tempdir().unwrap();
    run(whole.path());
    let expected = outcome(whole.path());
    let names: Vec<&str> = expected.iter().map(|(name, _)| name.as_str()).collect();
    for name in [
        "kept.teacher.weight",
        "kept.turns.count",
        "optimizers.critic.weight.exp_avg",
        "average.weight",
    ] {
        assert!(names.contains(&name), "`{name}` is not in {names:?}");
    }
    let mut rng = Key::new(0).stream(threads).rng();
    for _ in 0..KILLS {
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "process_that_dies"])
            .env(DIRECTORY, parts.path())
            .env(UPDATES, (1 + rng.below(8)).to_string())
            .env(MICROSECONDS, rng.below(5000).to_string())
            .env("RAYON_NUM_THREADS", threads)
            .stdout(std::process::Stdio::null())
            .status()
            .unwrap();
        assert_eq!(status.code(), None, "it was to die by a signal: {status}");
    }
    run(parts.path());
    let found = outcome(parts.path());
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found.0, expected.0);
        assert!(found.1 == expected.1, "{} differs", found.0);
    }
    assert_eq!(found.len(), expected.len());
}

#[test]
fn a_killed_run_with_kept_state_ends_in_the_same_bytes_with_one_thread() {
    a_killed_run_ends_in_the_same_bytes("1");
}

#[test]
fn a_killed_run_with_kept_state_ends_in_the_same_bytes_with_two_threads() {
    a_killed_run_ends_in_the_same_bytes("2");
}

#[test]
fn the_average_is_what_is_evaluated_and_kept_as_best() {
    let directory = tempfile::tempdir().unwrap();
    run(directory.path());
    let weight = |file: &str| -> Vec<f32> {
        let file = cnn_weights::TensorFile::open(directory.path().join(file)).unwrap();
        file.tensor("weight")
            .unwrap()
            .flatten_all()
            .unwrap()
            .to_vec1()
            .unwrap()
    };
    let last = weight("last/model.safetensors");
    let best = weight("best/model.safetensors");
    assert_ne!(last, best);
    // The best epoch's error, as it was logged, is that of the weights in `best/`.
    let error = (best[0] - 1.).abs() + (best[1] + 2.).abs();
    let metrics = std::fs::read_to_string(directory.path().join("metrics.csv")).unwrap();
    let logged = metrics
        .lines()
        .skip(1)
        .map(|line| line.split(',').nth(3).unwrap().parse::<f64>().unwrap());
    assert_eq!(logged.fold(f64::INFINITY, f64::min), f64::from(error));
}

#[test]
fn a_run_does_not_go_on_without_what_it_kept() {
    let directory = tempfile::tempdir().unwrap();
    run(directory.path());
    let (store, task) = student();
    let mut step = TakingTurns::new(&store);
    let fewer = |name: &'static str, step: &TakingTurns| -> Vec<(String, Store)> {
        step.kept()
            .into_iter()
            .filter(|(kept, _)| kept != name)
            .collect()
    };
    struct Forgetful(TakingTurns, Vec<(String, Store)>);
    impl Step<Plane> for Forgetful {
        fn step(
            &mut self,
            task: &Plane,
            batches: &[(Tensor, Tensor)],
            update: &mut Update<'_>,
        ) -> Result<StepReport, Error> {
            self.0.step(task, batches, update)
        }
        fn kept(&self) -> Vec<(String, Store)> {
            self.1.clone()
        }
    }
    let kept = fewer("teacher", &step);
    let mut forgetful = Forgetful(TakingTurns::new(&store), kept);
    let refused = trainer(&store, &step, directory.path())
        .run(&task, &mut forgetful)
        .unwrap_err();
    assert!(refused.to_string().contains("kept teacher"), "{refused}");
    // The file still serves the run that it is of.
    assert!(
        trainer(&store, &step, directory.path())
            .run(&task, &mut step)
            .is_ok()
    );
    let twice = step.kept().into_iter().chain(step.kept()).collect();
    let mut double = Forgetful(TakingTurns::new(&store), twice);
    let refused = trainer(&store, &step, directory.path())
        .run(&task, &mut double)
        .unwrap_err();
    assert!(refused.to_string().contains("`critic` twice"), "{refused}");
    let dotted = vec![("critic.old".to_string(), Store::new(0))];
    let mut dotted = Forgetful(TakingTurns::new(&store), dotted);
    let refused = trainer(&store, &step, directory.path())
        .run(&task, &mut dotted)
        .unwrap_err();
    assert!(refused.to_string().contains("without a dot"), "{refused}");
}

/// A phase that keeps no average follows one that does: the best weights stay the averaged ones.
#[test]
fn the_best_weights_stay_when_the_next_phase_keeps_no_average() {
    let directory = tempfile::tempdir().unwrap();
    let (store, task) = student();
    let phase = |number, ema| {
        let config = TrainConfig {
            learning_rate: 0.01,
            ema,
            ..TrainConfig::new(1)
        };
        Trainer::new(config, &store, directory.path()).with_phase(number, "part")
    };
    let mut step = GradientStep::default();
    phase(0, Some(0.99)).run(&task, &mut step).unwrap();
    let best = || std::fs::read(directory.path().join("best/model.safetensors")).unwrap();
    let expected = best();
    let stopped = Arc::new(AtomicBool::new(true));
    let mut next = phase(1, None).with_interrupt(stopped);
    assert!(next.run(&task, &mut step).unwrap().interrupted);
    assert!(best() == expected);
    assert!(std::fs::read(directory.path().join("last/model.safetensors")).unwrap() != expected);
}

/// The student's task, whose evaluation fails once, as a process that dies there.
struct DiesInEvaluation {
    plane: Plane,
    has_failed: Cell<bool>,
    passes: Cell<usize>,
}

impl Task for DiesInEvaluation {
    type Batch = (Tensor, Tensor);

    fn batches_per_epoch(&self) -> usize {
        BATCHES
    }

    fn batches<'a>(&'a self, epoch: &Epoch) -> Result<TaskBatches<'a, Self::Batch>, Error> {
        self.plane.batches(epoch)
    }

    fn samples(&self, batch: &Self::Batch) -> usize {
        self.plane.samples(batch)
    }

    fn loss(&self, batch: &Self::Batch, cx: &Context<'_>) -> Result<Losses, Error> {
        self.passes.set(self.passes.get() + 1);
        self.plane.loss(batch, cx)
    }

    fn evaluate(&self) -> Result<Evaluation, Error> {
        if self.has_failed.replace(true) {
            self.plane.evaluate()
        } else {
            Err(Error::other("the power is cut"))
        }
    }
}

#[test]
fn an_epoch_is_not_trained_again_because_its_evaluation_was_lost() {
    let directory = tempfile::tempdir().unwrap();
    let (store, plane) = student();
    let task = DiesInEvaluation {
        plane,
        has_failed: Cell::new(false),
        passes: Cell::new(0),
    };
    let mut trainer =
        Trainer::new(TrainConfig::new(1), &store, directory.path()).with_save_every(Duration::ZERO);
    let mut step = GradientStep::default();
    assert!(trainer.run(&task, &mut step).is_err());
    let summary = trainer.run(&task, &mut step).unwrap();
    assert_eq!((summary.epochs, task.passes.get()), (1, BATCHES));
}
