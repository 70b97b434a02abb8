"""What tests of several rooms share: builders of small pools and studies, processes, places."""
