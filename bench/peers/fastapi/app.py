"""The peer of bench/run http_api: a jobs API as one writes it today, FastAPI over SQLAlchemy's asyncio
sessions and asyncpg, one transaction a request. DATABASE_URL names the database.

uvicorn app:app --workers 2
"""
import os
from datetime import datetime
from typing import Any, Optional

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field
from sqlalchemy import BigInteger, Column, DateTime, Integer, Text, func, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import declarative_base, sessionmaker

engine = create_async_engine(os.environ["DATABASE_URL"], pool_size=16, max_overflow=0)
session = sessionmaker(engine, class_=AsyncSession, expire_on_commit=False)
Base = declarative_base()


class Job(Base):
    __tablename__ = "job"
    __mapper_args__ = {"eager_defaults": True}  # created_at comes back with the insert
    id = Column(BigInteger, primary_key=True)
    queue = Column(Text, nullable=False)
    kind = Column(Text, nullable=False)
    args = Column(JSONB, nullable=False)
    priority = Column(Integer, nullable=False, default=0)
    state = Column(Text, nullable=False, default="available")
    created_at = Column(DateTime(timezone=True), nullable=False, server_default=func.now())


class NewJob(BaseModel):
    kind: str = Field(max_length=128)
    queue: str = Field("default", max_length=128)
    args: dict[str, Any] = {}
    priority: int = Field(0, ge=0, le=9)


class JobView(NewJob):
    id: int
    state: str
    created_at: Optional[datetime]

    class Config:
        orm_mode = True


app = FastAPI()


@app.post("/api/v1/jobs", status_code=201, response_model=JobView)
async def create(new: NewJob):
    async with session() as database:
        job = Job(**new.dict())
        database.add(job)
        await database.commit()
        return job


@app.get("/api/v1/jobs/{number}", response_model=JobView)
async def get(number: int):
    async with session() as database:
        job = await database.get(Job, number)
        if job is None:
            raise HTTPException(404)
        return job


@app.get("/api/v1/jobs", response_model=list[JobView])
async def page(limit: int = 50, before: Optional[int] = None):
    newest = select(Job).order_by(Job.id.desc()).limit(limit)
    if before is not None:
        newest = newest.where(Job.id < before)
    async with session() as database:
        return (await database.execute(newest)).scalars().all()


if __name__ == "__main__":  # makes the table
    import asyncio

    async def make():
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        await engine.dispose()

    asyncio.run(make())
