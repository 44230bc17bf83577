use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;
use whimbrel_core::TableName;
use whimbrel_engine::assess::{Assessments, Values};

use super::{
    Clearance, ConnectionFailure, DataPlane, EndpointConfig, Requests, RunEnd, RunProgress,
    TaskHandle, TaskSpec,
};

/// A data plane without databases, for tests: what it answers is set by server name, and runs do what the test says.
#[derive(Clone, Default)]
pub(crate) struct FakeDataPlane(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    failures: BTreeMap<String, ConnectionFailure>,
    is_held: bool,
    tests: Vec<EndpointConfig>,
    schemas: Vec<String>,
    runs: Vec<FakeRun>,
    forgotten: Vec<(String, String)>,
}

/// A run that a test steers.
#[derive(Clone)]
pub(crate) struct FakeRun {
    /// What was asked for.
    pub(crate) spec: TaskSpec,
    progress: Arc<Mutex<RunProgress>>,
    clearance: Arc<Clearance>,
    requests: Requests,
    stop: CancellationToken,
    end: Arc<Mutex<Option<oneshot::Sender<RunEnd>>>>,
}

impl FakeRun {
    /// Sets how far the run is.
    pub(crate) fn set_progress(&self, progress: RunProgress) {
        *lock(&self.progress) = progress;
    }

    /// Lets the target of a fresh start go of what was recorded there; returns when that is written down.
    pub(crate) async fn clear(&self) {
        lock(&self.progress).is_cleared = true;
        self.clearance.wait_until_recorded().await;
    }

    /// The tables that the run was asked to load again since the last call.
    pub(crate) fn reloads(&self) -> Vec<TableName> {
        self.requests.reloads.take().into_iter().collect()
    }

    /// The tables that the run was asked to compare again since the last call.
    pub(crate) fn revalidations(&self) -> Vec<TableName> {
        self.requests.revalidations.take().into_iter().collect()
    }

    /// Ends the run; later ends are ignored.
    pub(crate) fn end(&self, end: RunEnd) {
        if let Some(sender) = lock(&self.end).take() {
            drop(sender.send(end));
        }
    }

    /// Waits until the run is asked to stop.
    pub(crate) async fn stop_requested(&self) {
        self.stop.cancelled().await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FakeDataPlane {
    /// Lets connections to this server fail.
    pub(crate) fn fail(&self, server_name: &str, failure: ConnectionFailure) {
        lock(&self.0.state)
            .failures
            .insert(server_name.to_owned(), failure);
    }

    /// Holds all connection tests until released.
    pub(crate) fn hold(&self) {
        lock(&self.0.state).is_held = true;
    }

    /// Lets held connection tests go on.
    pub(crate) fn release(&self) {
        lock(&self.0.state).is_held = false;
        self.0.changed.notify_waiters();
    }

    /// Sets the schemas of every server.
    pub(crate) fn set_schemas(&self, schemas: &[&str]) {
        lock(&self.0.state).schemas = schemas.iter().map(|&schema| schema.to_owned()).collect();
    }

    /// The endpoints tested so far.
    pub(crate) fn tests(&self) -> Vec<EndpointConfig> {
        lock(&self.0.state).tests.clone()
    }

    /// The tasks forgotten so far, each with the server that forgot it.
    pub(crate) fn forgotten(&self) -> Vec<(String, String)> {
        lock(&self.0.state).forgotten.clone()
    }

    /// Waits for the `number`th run, counted from 0.
    pub(crate) async fn run(&self, number: usize) -> FakeRun {
        loop {
            let changed = self.0.changed.notified();
            if let Some(run) = lock(&self.0.state).runs.get(number) {
                return run.clone();
            }
            changed.await;
        }
    }

    async fn released(&self) {
        loop {
            let changed = self.0.changed.notified();
            if !lock(&self.0.state).is_held {
                return;
            }
            changed.await;
        }
    }

    async fn forget(&self, end: &EndpointConfig, task: &str) -> Result<(), ConnectionFailure> {
        self.released().await;
        self.answer(end)?;
        lock(&self.0.state)
            .forgotten
            .push((end.server_name.clone(), task.to_owned()));
        Ok(())
    }

    fn answer(&self, endpoint: &EndpointConfig) -> Result<(), ConnectionFailure> {
        match lock(&self.0.state).failures.get(&endpoint.server_name) {
            Some(failure) => Err(failure.clone()),
            None => Ok(()),
        }
    }
}

#[async_trait]
impl DataPlane for FakeDataPlane {
    async fn test_connection(&self, endpoint: &EndpointConfig) -> Result<(), ConnectionFailure> {
        lock(&self.0.state).tests.push(endpoint.clone());
        self.released().await;
        self.answer(endpoint)
    }

    async fn list_schemas(
        &self,
        endpoint: &EndpointConfig,
    ) -> Result<Vec<String>, ConnectionFailure> {
        self.released().await;
        self.answer(endpoint)?;
        Ok(lock(&self.0.state).schemas.clone())
    }

    async fn has_followed(
        &self,
        target: &EndpointConfig,
        _task: &str,
    ) -> Result<bool, ConnectionFailure> {
        self.answer(target).map(|()| false)
    }

    async fn forget_at_source(
        &self,
        source: &EndpointConfig,
        task: &str,
    ) -> Result<(), ConnectionFailure> {
        self.forget(source, task).await
    }

    async fn forget_at_target(
        &self,
        target: &EndpointConfig,
        task: &str,
    ) -> Result<(), ConnectionFailure> {
        self.forget(target, task).await
    }

    async fn assess(
        &self,
        spec: &TaskSpec,
        _values: Values,
    ) -> Result<Assessments, ConnectionFailure> {
        self.released().await;
        self.answer(&spec.source)?;
        Ok(Assessments {
            checks: Vec::new(),
            columns: Vec::new(),
            unreachable: None,
        })
    }

    fn start_task(&self, spec: TaskSpec) -> TaskHandle {
        let (sender, end) = oneshot::channel();
        let run = FakeRun {
            spec,
            progress: Arc::default(),
            clearance: Arc::default(),
            requests: Requests::default(),
            stop: CancellationToken::new(),
            end: Arc::new(Mutex::new(Some(sender))),
        };
        lock(&self.0.state).runs.push(run.clone());
        self.0.changed.notify_waiters();
        let FakeRun {
            progress,
            clearance,
            requests,
            stop,
            ..
        } = run;
        let progress = move || lock(&progress).clone();
        TaskHandle::new(Arc::new(progress), clearance, requests, stop, end)
    }
}
