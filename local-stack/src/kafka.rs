//! Apache Kafka itself: broker and controller in one JVM (KRaft, no ZooKeeper), one node.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;

use crate::folder::Folder;
use crate::server::{Kind, Server};
use crate::{jars, path, port};

/// A Kafka broker of our own.
pub type Kafka = Server<KafkaKind>;

/// How the JVM is tuned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Jvm {
    /// Up soonest: only the quick compiler, small heap. For tests.
    QuickStart,
    /// Fast once warm: both compilers, a heap for 200,000 records a second. For the demo and benches.
    Throughput,
}

/// How a Kafka broker is started.
#[derive(Debug)]
pub struct KafkaKind {
    java: PathBuf,
    class_path: String,
    jvm: Jvm,
    port: u16,
    controller_port: u16,
    folder: Folder,
}

impl Kafka {
    /// A broker on a free port with an empty log in a temporary folder, tuned for a quick start.
    ///
    /// # Errors
    /// Java or the jars are missing, or the broker does not start.
    pub async fn start_temporary() -> Result<Self> {
        Self::start(Folder::temporary()?, port::free()?, Jvm::QuickStart).await
    }

    /// A broker on 127.0.0.1:`port`, with its log in `folder`, formatted there when it is new.
    ///
    /// # Errors
    /// Java or the jars are missing, the port is taken, or the broker does not start.
    pub async fn start(folder: Folder, port: u16, jvm: Jvm) -> Result<Self> {
        let java = jars::java()?;
        let class_path = tokio::task::spawn_blocking(jars::class_path).await??;
        let controller_port = port::free()?;
        let kind = KafkaKind { java, class_path, jvm, port, controller_port, folder };
        let kind = tokio::task::spawn_blocking(move || kind.prepare().map(|()| kind)).await??;
        Self::launch(kind).await
    }

    /// `127.0.0.1:port`, as `KAFKA_BOOTSTRAP_SERVERS` wants it.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        self.kind().bootstrap()
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.kind().port
    }

    /// Makes a topic; fine when it is there already.
    ///
    /// # Errors
    /// The broker cannot be reached or refuses.
    pub async fn create_topic(&self, name: &str, partitions: u16) -> Result<()> {
        create_topic(&self.bootstrap(), name, partitions).await
    }
}

/// Makes a topic with one replica on the broker at `bootstrap`, and waits until it can be used; fine
/// when it is there already.
///
/// # Errors
/// The broker cannot be reached or refuses.
pub async fn create_topic(bootstrap: &str, name: &str, partitions: u16) -> Result<()> {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new().set("bootstrap.servers", bootstrap).create()?;
    let topic = NewTopic::new(name, i32::from(partitions), TopicReplication::Fixed(1));
    let limit = Some(Duration::from_secs(15));
    let options = AdminOptions::new().operation_timeout(limit).request_timeout(limit);
    let answers =
        admin.create_topics([&topic], &options).await.with_context(|| format!("cannot create the topic {name}"))?;
    for answer in answers {
        match answer {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => bail!("cannot create the topic {topic}: {code}"),
        }
    }
    let (bootstrap, name) = (bootstrap.to_owned(), name.to_owned());
    tokio::task::spawn_blocking(move || wait_for_leaders(&bootstrap, &name, partitions)).await?
}

/// The controller confirms a topic a moment before the broker has taken the lead of its partitions;
/// who asks in between is told "not leader".
fn wait_for_leaders(bootstrap: &str, topic: &str, partitions: u16) -> Result<()> {
    let consumer: BaseConsumer = ClientConfig::new().set("bootstrap.servers", bootstrap).create()?;
    let deadline = Instant::now() + Duration::from_secs(15);
    for partition in 0..i32::from(partitions) {
        while let Err(error) = consumer.fetch_watermarks(topic, partition, Duration::from_secs(5)) {
            if Instant::now() > deadline {
                bail!("partition {partition} of the new topic {topic} cannot be used: {error}");
            }
            // A frozen or dead broker is waited for above; an answer comes at once and is asked for again.
            std::thread::yield_now();
        }
    }
    Ok(())
}

impl KafkaKind {
    fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn home(&self) -> PathBuf {
        self.folder.path().join("kafka")
    }

    fn data(&self) -> PathBuf {
        self.home().join("data")
    }

    fn properties(&self) -> PathBuf {
        self.home().join("server.properties")
    }

    /// Writes the configuration, and formats the storage when it is new.
    fn prepare(&self) -> Result<()> {
        fs::create_dir_all(self.home())?;
        fs::write(self.properties(), self.configuration())?;
        if self.data().join("meta.properties").exists() {
            return Ok(());
        }
        // A format that was cut short leaves a folder without its last file: begin again.
        if self.data().exists() {
            fs::remove_dir_all(self.data())?;
        }
        let output = self
            .java()
            .args(["kafka.tools.StorageTool", "format", "-t", &cluster_id(), "-c"])
            .arg(self.properties())
            .output()
            .context("cannot run java")?;
        if !output.status.success() {
            bail!(
                "Kafka's storage could not be formatted: {}{}",
                String::from_utf8_lossy(&output.stdout).trim(),
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(())
    }

    /// The JVM with its class path; the main class comes next.
    fn java(&self) -> Command {
        let mut command = Command::new(&self.java);
        let flags: &[&str] = match self.jvm {
            // Measured on two cores: up in 1.6 s, instead of 2.5 s with both compilers.
            Jvm::QuickStart => &["-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"],
            Jvm::Throughput => &["-Xms256m", "-Xmx768m", "-XX:+UseSerialGC"],
        };
        let log = path::project().join("local-stack/kafka/log4j2.properties");
        command
            .args(flags)
            .args(["-XX:-UsePerfData", "-Djava.awt.headless=true"])
            .arg(format!("-Dlog4j2.configurationFile={}", log.display()))
            .arg(format!("-Dtapeline.kafka.log={}", self.log().display()))
            .args(["-cp", &self.class_path])
            .current_dir(self.home())
            .env_remove("CLASSPATH")
            .env_remove("JAVA_TOOL_OPTIONS");
        command
    }

    fn configuration(&self) -> String {
        // The voter is named here, not stored in the log (`--standalone`): a second start may use
        // another controller port.
        format!(
            "\
# Written by local-stack at every start.
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
# Topics are made on purpose, with the right number of partitions.
auto.create.topics.enable=false
num.partitions=6
# One node: nothing can be replicated.
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
# A group of one machine need not wait for members that are still on their way.
group.initial.rebalance.delay.ms=0
# After a kill -9 the controller takes the new broker for a second one until the old session ends.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
# A demo that runs for weeks keeps a day, and not more than about 6 GiB a topic.
log.retention.hours=24
log.retention.bytes=1073741824
log.segment.bytes=134217728
num.network.threads=2
num.io.threads=4
",
            controller = self.controller_port,
            port = self.port,
            data = self.data().display(),
        )
    }
}

impl Kind for KafkaKind {
    fn name(&self) -> &'static str {
        "Kafka"
    }

    fn port(&self) -> Option<u16> {
        Some(self.port)
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("kafka.log")
    }

    fn command(&self) -> Result<Command> {
        let mut command = self.java();
        command.arg("kafka.Kafka").arg(self.properties());
        Ok(command)
    }

    async fn answers(&self) -> Result<()> {
        // librdkafka would complain about every refused connection: knock first.
        drop(tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await?);
        let bootstrap = self.bootstrap();
        tokio::task::spawn_blocking(move || has_broker(&bootstrap)).await?
    }
}

/// Succeeds when the broker has registered with its controller, and so can lead partitions.
fn has_broker(bootstrap: &str) -> Result<()> {
    let consumer: BaseConsumer = ClientConfig::new().set("bootstrap.servers", bootstrap).create()?;
    let metadata = consumer.fetch_metadata(None, Duration::from_secs(2))?;
    if metadata.brokers().is_empty() {
        bail!("the broker is not yet registered with its controller");
    }
    Ok(())
}

/// A random name for the cluster, in the 22 letters that Kafka gives to its own.
fn cluster_id() -> String {
    use rand::distr::{Alphanumeric, SampleString};
    Alphanumeric.sample_string(&mut rand::rng(), 22)
}

/// True when a broker can be started here at all.
///
/// # Errors
/// Java or the jars are missing; the message says what to do.
pub fn available() -> Result<()> {
    jars::java()?;
    jars::class_path()?;
    Ok(())
}

/// Where a broker below `folder` keeps its log: to tell people.
#[must_use]
pub fn data_in(folder: &Path) -> PathBuf {
    folder.join("kafka/data")
}
