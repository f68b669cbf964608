//! A database is spoken to over TLS, and only to the one that is meant.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use mayfly_store::{Database, DatabaseOptions, Home, StoreError, StoredJournal};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

/// A server of this test's own, that speaks TLS.
struct Server {
    directory: tempfile::TempDir,
    url: String,
    ca_file: PathBuf,
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/postgres")
}

impl Server {
    /// Its certificate is for `localhost`, signed by an authority of its own.
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        // The server runs as a user of its own, if this runs as root.
        open_to_all(directory.path());
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_key = KeyPair::generate().unwrap();
        let ca = params.self_signed(&ca_key).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let certificate = certificate.signed_by(&key, &ca, &ca_key).unwrap();
        let file = |name: &str| directory.path().join(name);
        fs::write(file("ca.pem"), ca.pem()).unwrap();
        fs::write(file("server.pem"), certificate.pem()).unwrap();
        fs::write(file("server.key"), key.serialize_pem()).unwrap();
        let cluster = file("cluster");
        fs::create_dir(&cluster).unwrap();
        give(&file("server.key"));
        let started = Command::new(script())
            .arg("start")
            .arg(&cluster)
            .arg("ssl=on")
            .arg(format!("ssl_cert_file={}", file("server.pem").display()))
            .arg(format!("ssl_key_file={}", file("server.key").display()))
            .output()
            .unwrap();
        assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
        let url = String::from_utf8(started.stdout).unwrap().trim().to_owned();
        Self { url, ca_file: file("ca.pem"), directory }
    }

    fn home(&self, host: &str, mode: &str, ca_file: Option<&Path>) -> Home {
        let limit = Duration::from_secs(10);
        let url = format!("{}?sslmode={mode}", self.url.replace("127.0.0.1", host));
        let options = DatabaseOptions {
            url: &url,
            password: None,
            ca_file,
            statement_time_max: limit,
            connect_time_max: limit,
        };
        Home::Database(Arc::new(Database::new(&options).unwrap()))
    }

    fn opens(&self, host: &str, mode: &str, ca_file: Option<&Path>) -> Result<(), StoreError> {
        StoredJournal::open(&self.home(host, mode, ca_file)).map(drop)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let cluster = self.directory.path().join("cluster");
        drop(Command::new(script()).arg("stop").arg(cluster).status());
    }
}

fn open_to_all(directory: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).unwrap();
}

/// The server takes a key that is root's and its group's, or its own.
fn give(key: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let given = Command::new("chgrp").arg("postgres").arg(key).output().unwrap().status.success();
    fs::set_permissions(key, fs::Permissions::from_mode(if given { 0o640 } else { 0o600 })).unwrap();
}

#[test]
fn only_the_server_that_is_meant_is_believed() {
    let server = Server::start();
    let ours = Some(server.ca_file.as_path());
    server.opens("localhost", "require", ours).unwrap();
    // Whom nobody vouches for; and who is somebody else.
    for (host, ca_file) in [("localhost", None), ("127.0.0.1", ours)] {
        let refused = server.opens(host, "require", ca_file);
        assert!(matches!(refused, Err(StoreError::Lost { .. })), "{host}: {refused:?}");
    }
    // It was spoken to over TLS indeed.
    let said = Command::new("psql")
        .args(["--no-psqlrc", "-At", "--dbname", &format!("{}?sslmode=require", server.url)])
        .args(["--command", "ALTER SYSTEM SET ssl = off", "--command", "SELECT pg_reload_conf()"])
        .output()
        .unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let until = std::time::Instant::now() + Duration::from_secs(30);
    while server.opens("localhost", "require", ours).is_ok() {
        assert!(std::time::Instant::now() < until, "a server without TLS is spoken to all the same");
        std::thread::sleep(Duration::from_millis(50));
    }
    server.opens("localhost", "disable", None).unwrap();
}
