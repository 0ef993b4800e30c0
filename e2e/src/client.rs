//! A place where a person could sit: a network namespace with a region (or this machine), and a WebDriver in it.

use crate::browser::Browser;
use crate::cluster::{ClusterProgram, Firewall};
use crate::env::Env;
use crate::process::OwnedProcess;
use crate::wait::{Look, until};
use anyhow::{Context, Result};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

/// Port of the WebDriver inside a client namespace.
const DRIVER_PORT: u16 = 9515;

/// One client.
#[derive(Debug)]
pub struct Client {
    name: String,
    region: String,
    /// Drops before the namespace goes.
    driver: Mutex<OwnedProcess>,
    driver_url: String,
    chromium: PathBuf,
    log: PathBuf,
    namespace: Option<Namespace>,
}

/// What a client is started with.
struct Place<'a> {
    name: &'a str,
    region: &'a str,
    url: String,
    chromium: &'a Path,
    logs: &'a Path,
}

#[derive(Debug)]
struct Namespace {
    cluster: ClusterProgram,
    name: String,
    address: IpAddr,
}

impl Drop for Namespace {
    fn drop(&mut self) {
        self.cluster.remove_client_blocking(&self.name);
    }
}

/// A client behind a firewall.
#[derive(Debug)]
pub struct Walled {
    cluster: ClusterProgram,
    name: String,
}

impl Drop for Walled {
    fn drop(&mut self) {
        self.cluster.open_firewall_blocking(&self.name);
    }
}

impl Client {
    /// Makes the namespace `name` in `region` and starts a WebDriver in it, whose browsers are at home in `home`.
    ///
    /// # Errors
    /// The namespace cannot be made, or the WebDriver does not answer.
    pub async fn in_namespace(
        cluster: &ClusterProgram,
        env: &Env,
        home: &Path,
        name: &str,
        region: &str,
    ) -> Result<Self> {
        // A run that was killed may have left it.
        cluster.remove_client_if_there(name).await?;
        let address = cluster.add_client(name, region).await?;
        let namespace = Namespace { cluster: cluster.clone(), name: name.to_owned(), address };
        // Not for the cluster's own program, whose state is in this user's home directory.
        let mut words = vec!["env".to_owned(), format!("HOME={}", home.display())];
        words.extend(driver_words(&env.chromedriver, DRIVER_PORT));
        let command = cluster.client_command(name, &words);
        let place = Place {
            name,
            region,
            url: driver_url(address, DRIVER_PORT),
            chromium: &env.chromium,
            logs: &env.artifacts,
        };
        Self::start(&place, command, Some(namespace)).await
    }

    /// A client on this machine itself.
    ///
    /// # Errors
    /// The WebDriver does not start or answer.
    pub async fn on_this_machine(name: &str, chromedriver: &Path, chromium: &Path, logs: &Path) -> Result<Self> {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let port = TcpListener::bind((loopback, 0)).and_then(|l| l.local_addr()).context("finding a free port")?.port();
        let mut command = Command::new(chromedriver);
        command.args(driver_words(chromedriver, port).iter().skip(1));
        let place = Place { name, region: "", url: driver_url(loopback, port), chromium, logs };
        Self::start(&place, command, None).await
    }

    async fn start(place: &Place<'_>, command: Command, namespace: Option<Namespace>) -> Result<Self> {
        let Place { name, region, url, chromium, logs } = place;
        std::fs::create_dir_all(logs).with_context(|| format!("making {}", logs.display()))?;
        let log = logs.join(format!("chromedriver-{name}.log"));
        let file = std::fs::File::create(&log).with_context(|| format!("making {}", log.display()))?;
        let driver = OwnedProcess::start(command, &format!("chromedriver of {name}"), &file)?;
        let client = Self {
            name: (*name).to_owned(),
            region: (*region).to_owned(),
            driver: Mutex::new(driver),
            driver_url: url.clone(),
            chromium: chromium.to_path_buf(),
            log,
            namespace,
        };
        client.wait_for_driver().await.with_context(|| format!("see {}", client.log.display()))?;
        Ok(client)
    }

    async fn wait_for_driver(&self) -> Result<()> {
        let status = format!("{}/status", self.driver_url);
        let http = crate::http::client()?;
        until(&format!("the WebDriver of {} answers", self.name), Duration::from_secs(15), async || {
            self.driver
                .lock()
                .map_err(|_| anyhow::anyhow!("a panic while the WebDriver was looked at"))?
                .check_running()?;
            Ok(match http.get(&status).send().await {
                Ok(answer) => Look::when(answer.status().is_success(), (), || answer.status().to_string()),
                Err(error) => Look::NotYet(error.to_string()),
            })
        })
        .await
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its region; empty on this machine.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.region
    }

    fn namespace(&self) -> Result<&Namespace> {
        self.namespace.as_ref().with_context(|| format!("{} has no network of its own", self.name))
    }

    /// Its address; only of a network of its own.
    ///
    /// # Errors
    /// It is this machine.
    pub fn address(&self) -> Result<IpAddr> {
        Ok(self.namespace()?.address)
    }

    /// A command that runs `words` in its network.
    ///
    /// # Errors
    /// It is this machine.
    pub fn command(&self, words: &[String]) -> Result<Command> {
        let Namespace { cluster, name, .. } = self.namespace()?;
        Ok(cluster.client_command(name, words))
    }

    /// Any process in its network.
    ///
    /// # Errors
    /// It is this machine, or the cluster is gone.
    pub async fn pid(&self) -> Result<u32> {
        let Namespace { cluster, name, .. } = self.namespace()?;
        cluster.pid_of_client(name).await
    }

    /// Puts a firewall before it, until the guard is dropped.
    ///
    /// # Errors
    /// It is this machine, or the cluster refuses.
    pub async fn firewall(&self, firewall: &Firewall) -> Result<Walled> {
        let Namespace { cluster, name, .. } = self.namespace()?;
        let walled = Walled { cluster: cluster.clone(), name: name.clone() };
        cluster.set_firewall(name, firewall).await?;
        Ok(walled)
    }

    /// Where its WebDriver listens.
    #[must_use]
    pub fn driver_url(&self) -> &str {
        &self.driver_url
    }

    /// A fresh browser that treats `origins` as secure.
    ///
    /// # Errors
    /// The browser does not start.
    pub async fn browser(&self, origins: &[String]) -> Result<Browser> {
        Browser::open(&self.driver_url, &self.chromium, origins)
            .await
            .with_context(|| format!("opening a browser at {}", self.name))
    }
}

fn driver_url(address: IpAddr, port: u16) -> String {
    format!("http://{}", SocketAddr::new(address, port))
}

fn driver_words(chromedriver: &Path, port: u16) -> Vec<String> {
    // An empty list of addresses means any: only the router of the namespaces can come in.
    vec![
        chromedriver.display().to_string(),
        format!("--port={port}"),
        "--allowed-ips=".to_owned(),
        "--allowed-origins=*".to_owned(),
    ]
}
