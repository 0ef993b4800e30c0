//! A room with pages in it.

use crate::door::Door;
use crate::page::Page;
use crate::scene::Scene;
use crate::wait::{Look, until};
use anyhow::{Context, Result};
use futures_util::future::{join_all, try_join_all};
use plenum_api::Room;
use plenum_protocol::flow::FlowReport;
use serde_json::Value;
use std::time::Duration;

/// A join, a handshake and a key frame, on two cores that run every browser and the whole cluster.
pub const MEDIA: Duration = Duration::from_secs(20);
/// Apply to Ready.
pub const READY: Duration = Duration::from_secs(10);

/// A room of this test's namespace, and who is in it.
pub struct Call<'a> {
    scene: &'a Scene<'a>,
    /// Name of the Room.
    pub room: String,
    /// Pages in the order in which they came.
    pub pages: Vec<Page>,
}

impl<'a> Call<'a> {
    /// Applies the Room and waits until it is Ready.
    ///
    /// # Errors
    /// It does not become Ready.
    pub async fn prepare(scene: &'a Scene<'a>, room: &str, spec: Value) -> Result<Self> {
        let kube = &scene.suite.kube;
        kube.apply_room(&scene.namespace, room, spec).await?;
        kube.ready_room(&scene.namespace, room, READY).await?;
        Ok(Self { scene, room: room.to_owned(), pages: Vec::new() })
    }

    /// Somebody at client `number` of `region` opens the page, by another gateway URL than the last one.
    ///
    /// # Errors
    /// The page does not open.
    pub async fn enter(&mut self, region: &str, number: usize) -> Result<()> {
        let door = self.scene.suite.door(self.pages.len())?;
        self.enter_by(&door, region, number).await
    }

    /// Several open the page at once, by gateway URLs in turn: whoever (client of a region) stands first is the first page.
    ///
    /// # Errors
    /// A page does not open.
    pub async fn enter_all(&mut self, people: &[(&str, usize)]) -> Result<()> {
        let (call, here) = (&*self, self.pages.len());
        let opened = people.iter().enumerate().map(async |(index, (region, number))| {
            let door = call.scene.suite.door(here + index)?;
            call.page(&door, region, *number, None).await
        });
        let opened = try_join_all(opened).await?;
        self.pages.extend(opened);
        Ok(())
    }

    /// Somebody opens the page by this gateway URL.
    ///
    /// # Errors
    /// The page does not open.
    pub async fn enter_by(&mut self, door: &Door, region: &str, number: usize) -> Result<()> {
        self.open(door, region, number, None).await
    }

    /// Somebody opens the page and says where they are: relays are chosen near there.
    ///
    /// # Errors
    /// The page does not open.
    pub async fn enter_near(&mut self, region: &str, number: usize) -> Result<()> {
        let door = self.scene.suite.door(self.pages.len())?;
        self.open(&door, region, number, Some(region)).await
    }

    async fn open(&mut self, door: &Door, region: &str, number: usize, hint: Option<&str>) -> Result<()> {
        let page = self.page(door, region, number, hint).await?;
        self.pages.push(page);
        Ok(())
    }

    async fn page(&self, door: &Door, region: &str, number: usize, hint: Option<&str>) -> Result<Page> {
        let suite = self.scene.suite;
        let client = self.scene.client(region, number).await?;
        let token = self.scene.token(&self.room, client.name()).await?;
        let room = (self.scene.namespace.as_str(), self.room.as_str());
        let origins = [suite.origins(), &[door.base().to_owned()]].concat();
        Page::open(&client, door, &origins, room, &token, hint).await
    }

    /// What a gateway says of the room's flow.
    ///
    /// # Errors
    /// It is refused.
    pub async fn flow(&self) -> Result<FlowReport> {
        let token = self.scene.token(&self.room, "observer").await?;
        self.scene.suite.door(0)?.flow(&self.scene.namespace, &self.room, &token).await
    }

    /// Waits until everybody decodes `frames` further frames, and audio, of everybody else.
    ///
    /// # Errors
    /// Somebody does not; pages are saved for diagnosis.
    pub async fn flows(&self, frames: u64, within: Duration) -> Result<()> {
        let others = self.pages.len().saturating_sub(1);
        let outcome = try_join_all(self.pages.iter().map(|page| page.decodes(others, frames, within))).await;
        if outcome.is_err() {
            self.save().await;
        }
        outcome.map(drop)
    }

    /// Consoles and pictures of all pages, into the artifacts.
    pub async fn save(&self) {
        let directory = self.scene.suite.env.artifacts.join(format!("pages-{}", self.scene.namespace));
        for outcome in join_all(self.pages.iter().map(|page| page.save(&directory))).await {
            if let Err(error) = outcome {
                eprintln!("saving a page: {error:#}");
            }
        }
    }

    /// The Room as it is.
    ///
    /// # Errors
    /// It is not there.
    pub async fn state(&self) -> Result<Room> {
        self.scene.suite.kube.room(&self.scene.namespace, &self.room).await
    }

    /// Namespace and name of the media pod that the Room is bound to.
    ///
    /// # Errors
    /// It is not bound.
    pub async fn media_pod(&self) -> Result<(String, String)> {
        let room = self.state().await?;
        let assignment = room.media_assignment().with_context(|| format!("Room {} is not bound", self.room))?;
        Ok((assignment.namespace.clone(), assignment.pod.clone()))
    }

    /// Waits until the Room is bound under a higher epoch than `epoch` and Ready.
    ///
    /// # Errors
    /// The deadline passes.
    pub async fn bound_anew(&self, epoch: i64, within: Duration) -> Result<Room> {
        let what = format!("Room {} is bound anew", self.room);
        until(&what, within, async || {
            let room = self.state().await?;
            let bound = room.epoch() > epoch && room.media_assignment().is_some();
            let ready = crate::kube::is_true(&room, plenum_api::conditions::READY);
            Ok(Look::when(bound && ready, (), || format!("{:?}", room.status)).map(|()| room))
        })
        .await
    }

    /// Closes all browsers.
    ///
    /// # Errors
    /// A WebDriver refuses.
    pub async fn end(self) -> Result<()> {
        for page in self.pages {
            page.close().await?;
        }
        Ok(())
    }
}
