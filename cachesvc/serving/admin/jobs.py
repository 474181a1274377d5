"""Scheduled jobs: looking at them, running and pausing them."""

from collections.abc import AsyncIterator
from typing import Any

import grpc

from cachesvc.serving.admin import views
from cachesvc.serving.admin.limits import checked_limit
from cachesvc.serving.ports import Jobs
from cachesvc.serving.status import errors_as_status
from cachesvc.v1 import admin_pb2 as pb

Context = grpc.aio.ServicerContext[Any, Any]
_RUNS_DEFAULT = 100


class JobAdmin:
    """The calls of ``cachesvc.v1.Admin`` about jobs; see the .proto for the contract.

    Args:
        jobs: What can be run.
    """

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    async def ListJobs(self, request: pb.ListJobsRequest, context: Context) -> pb.ListJobsResponse:
        return pb.ListJobsResponse(jobs=[views.job(state) for state in await self._jobs.states()])

    async def RunJob(
        self, request: pb.RunJobRequest, context: Context
    ) -> AsyncIterator[pb.RunJobResponse]:
        async with errors_as_status(context):
            steps = self._jobs.run_now(request.name, request.directory, join=request.join)
            async for progress in steps:
                yield views.job_progress(progress)

    async def PauseJob(self, request: pb.PauseJobRequest, context: Context) -> pb.PauseJobResponse:
        async with errors_as_status(context):
            state = await self._jobs.set_paused(request.name, paused=True)
            return pb.PauseJobResponse(job=views.job(state))

    async def ResumeJob(
        self, request: pb.ResumeJobRequest, context: Context
    ) -> pb.ResumeJobResponse:
        async with errors_as_status(context):
            state = await self._jobs.set_paused(request.name, paused=False)
            return pb.ResumeJobResponse(job=views.job(state))

    async def ListJobRuns(
        self, request: pb.ListJobRunsRequest, context: Context
    ) -> pb.ListJobRunsResponse:
        async with errors_as_status(context):
            runs = await self._jobs.history(
                request.name, checked_limit(request.limit, _RUNS_DEFAULT)
            )
            return pb.ListJobRunsResponse(runs=[views.job_run(run) for run in runs])
