//! A pair of Unix sockets for each producer, through Tokio.

use super::control::{Control, MESSAGE, Opened, message};
use crate::hull::Hull;
use anyhow::Result;
use futures_util::future::try_join_all;
use std::hint::black_box;
use std::io;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::runtime::Runtime;

pub(super) fn open(control: &Control, producers: usize) -> Result<Opened> {
    let (mut hulls, mut sockets) = (Vec::new(), Vec::new());
    for _ in 0..producers {
        let (here, there) = UnixStream::pair()?;
        sockets.push(BufReader::new(here));
        hulls.push(Hull::of([&control.memory, &there])?);
    }
    let consume = Box::new(move |runtime: &Runtime, count| {
        let each = count / sockets.len();
        runtime.block_on(try_join_all(sockets.iter_mut().map(|socket| take(socket, each))))?;
        Ok(())
    });
    Ok((consume, hulls))
}

async fn take(socket: &mut BufReader<UnixStream>, count: usize) -> io::Result<()> {
    let mut message = [0; MESSAGE * 4];
    for _ in 0..count {
        socket.read_exact(&mut message).await?;
        black_box(&message);
    }
    Ok(())
}

pub(super) async fn produce(control: &Control, mut hull: Hull) -> Result<()> {
    let mut socket = hull.take_socket()?;
    let send = async |number| Ok(socket.write_all(message(number).map(u32::to_ne_bytes).as_flattened()).await?);
    control.send_each(send).await
}
