//! No secret stands in the store's files in the clear.

use whimbrel_store::{AccessKey, AccessKeyId, Embedded, EpochMs, KeySource, Secret};

#[tokio::test]
async fn planted_secrets_are_not_in_any_file() {
    let temp = tempfile::tempdir().unwrap();
    let planted: Vec<String> = (0..50)
        .map(|n| format!("planted-secret-{n}-zebra"))
        .collect();
    let embedded = Embedded::open(temp.path(), &KeySource::File).await.unwrap();
    let store = embedded.store();
    for (n, secret) in planted.iter().enumerate() {
        let id = AccessKeyId(format!("AKIA{n}"));
        let sealed = embedded
            .vault()
            .seal(AccessKey::secret_context(&id), &Secret::new(secret));
        let key = AccessKey {
            id,
            secret: sealed,
            description: "findable".into(),
            created_at: EpochMs::now(),
        };
        store.create(&key).await.unwrap();
    }
    let files: Vec<Vec<u8>> = std::fs::read_dir(temp.path())
        .unwrap()
        .map(|entry| std::fs::read(entry.unwrap().path()).unwrap())
        .collect();
    let contains = |needle: &str| {
        files.iter().any(|file| {
            file.windows(needle.len())
                .any(|window| window == needle.as_bytes())
        })
    };
    assert!(contains("findable"), "the search itself works");
    for secret in &planted {
        assert!(!contains(secret), "{secret}");
    }
    for (stored, secret) in store
        .list::<AccessKey>()
        .await
        .unwrap()
        .iter()
        .zip(&planted)
    {
        let opened = embedded
            .vault()
            .open_secret(AccessKey::secret_context(&stored.id), &stored.secret)
            .unwrap();
        assert_eq!(opened.expose(), secret);
    }
}
