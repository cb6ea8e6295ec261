"""Amplify Hosting: apps, branches and manual deployments, and their pages.

A stand-in: moto has no Amplify. A page is answered at ``https://BRANCH.APPID.amplifyapp.com`` to a
browser that is told where that host is, with the app's customHeaders; a zip is taken by PUT without
a signature at the address that CreateDeployment gave, as at AWS.
"""

from __future__ import annotations

import hashlib
import io
import mimetypes
import secrets
import threading
import time
import zipfile
from typing import Any

from aws_account.amplify_things import (
    App,
    Branch,
    Job,
    camel,
    show_app,
    show_branch,
    summary,
)
from aws_account.custom_headers import headers_for
from aws_account.http_side import Answer, Request
from aws_account.wire import Action, ServiceError, answer_rest

_PACE = 0.1


class Amplify:
    def __init__(self, region: str, account: str) -> None:
        self.region = region
        self.account = account
        self.endpoint = ""
        self.apps: dict[str, App] = {}
        self._lock = threading.RLock()
        names = (
            "create_app get_app list_apps update_app delete_app create_branch get_branch "
            "list_branches update_branch delete_branch create_deployment start_deployment get_job "
            "list_jobs stop_job list_tags_for_resource tag_resource untag_resource"
        )
        self.actions: dict[str, Action] = {camel(n): getattr(self, n) for n in names.split()}

    def answer(self, request: Request) -> Answer:
        with self._lock:
            return answer_rest(request, "amplify", self.actions)

    # Apps and branches ---------------------------------------------------------------------

    def create_app(self, given: dict[str, Any]) -> dict[str, Any]:
        identity = f"d{secrets.token_hex(6)}"
        arn = f"arn:aws:amplify:{self.region}:{self.account}:apps/{identity}"
        tags = given.pop("tags", {})
        self.apps[identity] = App(identity, arn, given, tags)
        return self.get_app({"appId": identity})

    def get_app(self, given: dict[str, Any]) -> dict[str, Any]:
        return {"app": show_app(self._app(given))}

    def list_apps(self, given: dict[str, Any]) -> dict[str, Any]:
        return {"apps": [show_app(app) for app in self.apps.values()]}

    def update_app(self, given: dict[str, Any]) -> dict[str, Any]:
        app = self._app(given)
        app.about |= {name: value for name, value in given.items() if name != "appId"}
        return {"app": show_app(app)}

    def delete_app(self, given: dict[str, Any]) -> dict[str, Any]:
        app = self.apps.pop(self._app(given).id)
        return {"app": show_app(app)}

    def create_branch(self, given: dict[str, Any]) -> dict[str, Any]:
        app = self._app(given)
        name = given["branchName"]
        if name in app.branches:
            raise ServiceError("BadRequestException", f"A branch {name} already exists")
        app.branches[name] = Branch(name, given)
        return {"branch": show_branch(app, app.branches[name])}

    def get_branch(self, given: dict[str, Any]) -> dict[str, Any]:
        return {"branch": show_branch(self._app(given), self._branch(given))}

    def list_branches(self, given: dict[str, Any]) -> dict[str, Any]:
        app = self._app(given)
        return {"branches": [show_branch(app, b) for b in app.branches.values()]}

    def update_branch(self, given: dict[str, Any]) -> dict[str, Any]:
        self._branch(given).about |= given
        return self.get_branch(given)

    def delete_branch(self, given: dict[str, Any]) -> dict[str, Any]:
        found = self.get_branch(given)
        del self._app(given).branches[given["branchName"]]
        return found

    def list_tags_for_resource(self, given: dict[str, Any]) -> dict[str, Any]:
        return {"tags": self._by_arn(given).tags}

    def tag_resource(self, given: dict[str, Any]) -> None:
        self._by_arn(given).tags |= given["tags"]

    def untag_resource(self, given: dict[str, Any]) -> None:
        for key in given["tagKeys"]:
            self._by_arn(given).tags.pop(key, None)

    # Deployments ---------------------------------------------------------------------------

    def create_deployment(self, given: dict[str, Any]) -> dict[str, Any]:
        branch = self._branch(given)
        if any(job.status in ("PENDING", "RUNNING") for job in branch.jobs):
            raise ServiceError(
                "BadRequestException", "The last job was not finished. Please wait or stop it."
            )
        job = Job(str(len(branch.jobs) + 1), secrets.token_urlsafe(16))
        branch.jobs.append(job)
        url = f"{self.endpoint}/_amplify/{job.token}"
        return {"jobId": job.id, "zipUploadUrl": url, "fileUploadUrls": {}}

    def upload(self, request: Request) -> Answer:
        """The PUT of a zip, which no signature protects but its secret address."""
        token = request.path.removeprefix("/_amplify/")
        with self._lock:
            for app in self.apps.values():
                for branch in app.branches.values():
                    for job in branch.jobs:
                        if job.token == token and request.method == "PUT":
                            job.upload = request.body
                            return Answer(200)
        return Answer.of_text(403, "AccessDenied", "text/plain")

    def start_deployment(self, given: dict[str, Any]) -> dict[str, Any]:
        branch, job = self._branch(given), self._job(given)
        if not job.upload:
            raise ServiceError("BadRequestException", "nothing was uploaded for this job")
        job.status = "PENDING"
        threading.Thread(target=self._deploy, args=(branch, job), daemon=True).start()
        return {"jobSummary": summary(job)}

    def _deploy(self, branch: Branch, job: Job) -> None:
        time.sleep(_PACE)
        with self._lock:
            if job.status == "CANCELLED":
                return
            job.status = "RUNNING"
        time.sleep(_PACE)
        try:
            with zipfile.ZipFile(io.BytesIO(job.upload)) as archive:
                files = {n: archive.read(n) for n in archive.namelist() if not n.endswith("/")}
        except zipfile.BadZipFile:
            files = {}
        with self._lock:
            if job.status == "RUNNING":
                job.status = "SUCCEED" if files else "FAILED"
                if files:
                    branch.files, branch.active = files, job.id

    def get_job(self, given: dict[str, Any]) -> dict[str, Any]:
        return {"job": {"summary": summary(self._job(given)), "steps": []}}

    def list_jobs(self, given: dict[str, Any]) -> dict[str, Any]:
        return {"jobSummaries": [summary(job) for job in reversed(self._branch(given).jobs)]}

    def stop_job(self, given: dict[str, Any]) -> dict[str, Any]:
        job = self._job(given)
        job.status = "CANCELLED"
        return {"jobSummary": summary(job)}

    # Pages ---------------------------------------------------------------------------------

    def page(self, request: Request) -> Answer:
        """One request of a browser."""
        branch_name, _, rest = request.headers.get("host", "").partition(".")
        app = self.apps.get(rest.partition(".")[0])
        branch = app.branches.get(branch_name) if app else None
        path = request.path.lstrip("/") or "index.html"
        if app is None or branch is None or path not in branch.files:
            return Answer.of_text(404, "Not Found", "text/plain")
        kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
        custom = headers_for(app.about.get("customHeaders", ""), path)
        headers = [("Content-Type", f"{kind}; charset=utf-8" if "text" in kind else kind)]
        named = {name.lower() for name, _ in custom}
        return Answer(
            200,
            branch.files[path],
            [*(h for h in headers if h[0].lower() not in named), *custom],
        )

    def digest(self, app: App) -> str:
        """What the app's pages are, as one hash."""
        parts = sorted(
            (branch.name, name, hashlib.sha256(data).hexdigest())
            for branch in app.branches.values()
            for name, data in branch.files.items()
        )
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    # Looking up ----------------------------------------------------------------------------

    def _app(self, given: dict[str, Any]) -> App:
        if given["appId"] not in self.apps:
            raise ServiceError("NotFoundException", f"App {given['appId']} not found", 404)
        return self.apps[given["appId"]]

    def _by_arn(self, given: dict[str, Any]) -> App:
        return self._app({"appId": given["resourceArn"].rpartition("/")[2]})

    def _branch(self, given: dict[str, Any]) -> Branch:
        branches = self._app(given).branches
        if given["branchName"] not in branches:
            raise ServiceError("NotFoundException", f"Branch {given['branchName']} not found", 404)
        return branches[given["branchName"]]

    def _job(self, given: dict[str, Any]) -> Job:
        for job in self._branch(given).jobs:
            if job.id == given.get("jobId"):
                return job
        raise ServiceError("NotFoundException", f"Job {given.get('jobId')} not found", 404)
