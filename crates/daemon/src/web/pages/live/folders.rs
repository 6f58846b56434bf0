//! Badmail, Drop and Pickup: lists, one file, and what is done with files.

use super::{Given, PAGE_ENTRIES_MAX, Visit, senseless};
use crate::web::Web;
use axum::Router;
use axum::extract::{Form, Path, Query};
use axum::response::Response;
use axum::routing::get;
use console::form::Fields;
use console::layout::{Place, Room};
use console::live::{FilePage, Folder, folder_command};
use console::{Confirm, path, words};
use relay::admin::{Command, FolderName};

pub(super) fn router() -> Router<Web> {
    let mut router = Router::new();
    for (folder, room) in
        [(FolderName::Badmail, Room::Badmail), (FolderName::Drop, Room::Drop), (FolderName::Pickup, Room::Pickup)]
    {
        let room = Of { folder, room };
        let address = format!("/servers/{{server}}/{}", room.room.segment());
        let list = move |visit: Visit, Path(server): Path<String>, Query(query): Query<Given>| async move {
            list(room, visit, server, Fields(query)).await
        };
        let change = move |visit: Visit, Path(server): Path<String>, Form(form): Form<Given>| async move {
            change(room, visit, server, Fields(form)).await
        };
        let file = move |visit: Visit, Path((server, name)): Path<(String, String)>| async move {
            file(room, visit, server, name).await
        };
        router = router.route(&address, get(list).post(change)).route(&format!("{address}/{{name}}"), get(file));
    }
    router
}

/// Which folder, and its place in the tree.
#[derive(Copy, Clone)]
struct Of {
    folder: FolderName,
    room: Room,
}

impl Of {
    fn place(self, server: &str) -> Place {
        Place::Server(server.to_owned(), self.room)
    }

    fn address(self, server: &str) -> String {
        path::server(server, &[self.room.segment()])
    }
}

async fn list(of: Of, visit: Visit, server: String, query: Fields) -> Response {
    let page = async {
        let frame = visit.frame(of.room.label(), of.place(&server)).await?;
        let after = query.get("after");
        let page = visit.web.control.files(visit.by(), &server, of.folder, after, PAGE_ENTRIES_MAX).await?;
        Ok(Folder { frame, server: server.clone(), folder: of.folder, page, later: after.is_some() })
    };
    visit.answer(page.await, "/").await
}

async fn file(of: Of, visit: Visit, server: String, name: String) -> Response {
    let page = async {
        let frame = visit.frame(&name, of.place(&server)).await?;
        let content = visit.web.control.file_content(visit.by(), &server, of.folder, &name).await?;
        Ok(FilePage { frame, server: server.clone(), folder: of.folder, content })
    };
    visit.answer(page.await, &of.address(&server)).await
}

async fn change(of: Of, visit: Visit, server: String, form: Fields) -> Response {
    let back = of.address(&server);
    let (command, ask) = match folder_command(&server, of.folder, &form) {
        Ok(wanted) => wanted,
        Err(fault) => return visit.fail(&senseless(&fault), &back).await,
    };
    let Command::Folder { names, .. } = &command else { return visit.carry_out(command, &back).await };
    if !ask {
        return visit.carry_out(command, &back).await;
    }
    let page = async {
        let count = words::count(names.len() as u64, "file", "files");
        let mut says: Vec<String> = names.iter().take(10).cloned().collect();
        if names.len() > says.len() {
            says.push(format!("and {} more", names.len() - says.len()));
        }
        says.push("This cannot be taken back.".into());
        let mut fields = vec![("verb".to_owned(), "delete".to_owned()), ("sure".to_owned(), "yes".to_owned())];
        fields.extend(names.iter().map(|name| ("name".to_owned(), name.clone())));
        Ok(Confirm {
            frame: visit.frame(&format!("Delete {count} of {}?", of.room.label()), of.place(&server)).await?,
            server: server.clone(),
            says,
            change: None,
            action: back.clone(),
            fields,
            button: format!("Delete {count}"),
            danger: true,
            back: back.clone(),
        })
    };
    visit.answer(page.await, &back).await
}
