//! The data directory of one process.

use std::os::unix::fs::PermissionsExt as _;

use whimbrel_store::{DataDir, Embedded, KeySource, Secret, StoreError, Tag, TagSet, VaultError};

fn tags() -> TagSet {
    TagSet {
        arn: "arn:aws:dms:x".into(),
        tags: vec![Tag {
            key: "k".into(),
            value: "v".into(),
        }],
    }
}

#[tokio::test]
async fn what_was_written_is_there_after_a_restart() {
    let temp = tempfile::tempdir().unwrap();
    let first = Embedded::open(temp.path(), &KeySource::File).await.unwrap();
    first.store().create(&tags()).await.unwrap();
    drop(first);
    let second = Embedded::open(temp.path(), &KeySource::File).await.unwrap();
    assert_eq!(
        second.store().list::<TagSet>().await.unwrap()[0].value,
        tags()
    );
}

#[tokio::test]
async fn a_second_process_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    let _first = Embedded::open(temp.path(), &KeySource::File).await.unwrap();
    let error = Embedded::open(temp.path(), &KeySource::File)
        .await
        .unwrap_err();
    assert!(
        matches!(error, VaultError::Store(StoreError::DataDirInUse { .. })),
        "{error}"
    );
}

/// Whatever the folder allows, and whatever an earlier version left.
#[tokio::test]
async fn the_stores_files_are_private() {
    let temp = tempfile::tempdir().unwrap();
    let open_to_all = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(temp.path(), open_to_all).unwrap();
    for round in 0..2 {
        let store = Embedded::open(temp.path(), &KeySource::File).await.unwrap();
        if round == 0 {
            store.store().create(&tags()).await.unwrap();
        }
        let mut names = Vec::new();
        for entry in std::fs::read_dir(temp.path()).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{name}");
            names.push(name);
        }
        assert!(names.len() >= 4, "{names:?}");
        let file = store.data_dir().store_file();
        store.store().close().await;
        drop(store);
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o644)).unwrap();
    }
}

#[tokio::test]
async fn nothing_is_made_beside_a_service_that_is_not_there() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("mistyped");
    let error = Embedded::open_beside(&path, &KeySource::File).await;
    let error = error.unwrap_err();
    assert!(
        matches!(error, VaultError::Store(StoreError::Missing(_))),
        "{error}"
    );
    assert!(!path.exists());
}

#[tokio::test]
async fn the_key_file_is_private_and_its_loss_is_told() {
    let temp = tempfile::tempdir().unwrap();
    drop(Embedded::open(temp.path(), &KeySource::File).await.unwrap());
    let key_file = temp.path().join("master.key");
    assert_eq!(
        std::fs::metadata(&key_file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    std::fs::remove_file(&key_file).unwrap();
    let error = Embedded::open(temp.path(), &KeySource::File)
        .await
        .unwrap_err();
    assert!(matches!(error, VaultError::MissingKey { .. }), "{error}");
}

#[tokio::test]
async fn a_wrong_or_malformed_key_refuses_to_start() {
    let temp = tempfile::tempdir().unwrap();
    let right = KeySource::Given(Secret::new("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="));
    let wrong = KeySource::Given(Secret::new("//////////////////////////////////////////8="));
    let malformed = KeySource::Given(Secret::new("hunter2"));
    drop(Embedded::open(temp.path(), &right).await.unwrap());
    assert!(!temp.path().join("master.key").exists());
    let error = Embedded::open(temp.path(), &wrong).await.unwrap_err();
    assert!(matches!(error, VaultError::WrongKey { .. }), "{error}");
    let error = Embedded::open(temp.path(), &malformed).await.unwrap_err();
    assert!(matches!(error, VaultError::MalformedKey { .. }), "{error}");
    assert!(!error.to_string().contains("hunter2"));
    Embedded::open(temp.path(), &right).await.unwrap();
}

#[tokio::test]
async fn short_work_goes_on_beside_a_service_and_each_sees_what_the_other_wrote() {
    let temp = tempfile::tempdir().unwrap();
    let service = Embedded::open(temp.path(), &KeySource::File).await.unwrap();
    let beside = Embedded::open_beside(temp.path(), &KeySource::File)
        .await
        .unwrap();
    beside.store().create(&tags()).await.unwrap();
    let seen = service.store().list::<TagSet>().await.unwrap();
    assert_eq!(seen[0].value, tags());
    let mut changed = seen.into_iter().next().unwrap();
    changed.value.tags.clear();
    let mut transaction = service.store().begin().await.unwrap();
    transaction.replace(&changed).await.unwrap();
    transaction.commit().await.unwrap();
    let seen = beside.store().list::<TagSet>().await.unwrap();
    assert!(seen[0].value.tags.is_empty());
    // The lock is the service's, and stays so.
    drop(beside);
    assert!(Embedded::open(temp.path(), &KeySource::File).await.is_err());
    drop(service);
    Embedded::open_beside(temp.path(), &KeySource::File)
        .await
        .unwrap();
}

#[tokio::test]
async fn beside_a_service_that_is_only_starting_nothing_is_made() {
    let temp = tempfile::tempdir().unwrap();
    let _starting = DataDir::open(temp.path()).unwrap();
    let error = Embedded::open_beside(temp.path(), &KeySource::File)
        .await
        .unwrap_err();
    assert!(
        matches!(error, VaultError::Store(StoreError::DataDirInUse { .. })),
        "{error}"
    );
    let names: Vec<_> = std::fs::read_dir(temp.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["lock"]);
}
